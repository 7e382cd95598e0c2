// Bench cases of attentionMerge(): real sizes, numbers without meaning.

import { attentionMerge } from "../attention_merge.ts";
import { type MatrixTile, tileName } from "../gemm_tile.ts";
import { ELEMENT_BYTES } from "../kernel.ts";
import { fitsProduct } from "../latent_product.ts";
import { valueTiles } from "../latent_product_tuning.ts";
import { zeroRows } from "./case_rows.ts";
import type { KernelCase } from "./kernel_case.ts";

function benchCase(
  label: string,
  sizes: { heads: number; width: number; value?: number },
  batch: number,
  splits: number,
  means = false,
  tile?: MatrixTile | false,
): KernelCase {
  const element = means ? "f16" : "f32";
  const note = (means ? " of means" : "") +
    (tile === undefined
      ? ""
      : tile === false
      ? ", candidate without matrices"
      : `, candidate ${tileName(tile)}`);
  return {
    label: `${label}, batch ${batch}, ${splits} splits${note}`,
    ...(sizes.value === undefined ? {} : { needs: ["f16"] }),
    ...(tile
      ? {
        fits: (gpu) =>
          fitsProduct(gpu, tile, {
            keys: false,
            k: sizes.width,
            splits,
            means,
          }),
      }
      : {}),
    prepare(arena) {
      const { heads, width, value } = sizes;
      const parts = batch * heads * splits;
      const weightRows = { rows: heads * (value ?? 0), width };
      return {
        dispatches: attentionMerge(arena, {
          partial: arena.buffer(
            "partial",
            ELEMENT_BYTES[element] * parts * width,
          ),
          stats: arena.upload("stats", new Float32Array(2 * parts).fill(1)),
          batch,
          heads,
          splits,
          width,
          means,
          ...(value === undefined ? {} : {
            up: {
              weight: zeroRows(arena, { ...weightRows, element: "f16" }),
              groups: heads,
              firstRow: 0,
              rowsPerGroup: value,
              value,
            },
          }),
          out: zeroRows(arena, {
            rows: batch,
            width: heads * (value ?? width),
            element,
          }),
          ...(tile === undefined ? {} : { tile }),
        }),
        outputs: [],
      };
    },
  };
}

const LLAMA_MHA = { heads: 32, width: 128 };
const LLAMA_MLA = { heads: 32, width: 512, value: 128 };

/** Cases to time. */
export const MERGE_BENCH: readonly KernelCase[] = [
  benchCase("LLaMA-2-7B MHA", LLAMA_MHA, 1, 32),
  ...([[1, 64], [1, 128], [7, 38], [30, 17], [244, 1]] as const).map(
    ([batch, splits]) => benchCase("LLaMA-2-7B MLA", LLAMA_MLA, batch, splits),
  ),
  ...([
    [1, 64],
    [1, 128],
    [7, 18],
    [15, 8],
    [30, 4],
    [61, 2],
    [122, 1],
    [244, 1],
  ] as const).map(([batch, splits]) =>
    benchCase("LLaMA-2-7B MLA", LLAMA_MLA, batch, splits, true)
  ),
  ...([[30, 4], [61, 2], [122, 1], [244, 1]] as const).flatMap((
    [batch, splits],
  ) =>
    [false as const, ...valueTiles(batch)].map((tile) =>
      benchCase("LLaMA-2-7B MLA", LLAMA_MLA, batch, splits, true, tile)
    )
  ),
  benchCase("SmolLM2-135M MLA", { heads: 9, width: 88, value: 64 }, 1, 64),
];
