// absorbStore() at real sizes, in every shape that could be the fastest.

import type { Gpu } from "../../device/gpu.ts";
import { absorbStore } from "../absorb_store.ts";
import {
  absorbCandidates,
  type AbsorbShape,
  describeAbsorb,
} from "../absorb_tuning.ts";
import { type MatrixTile, tileName } from "../gemm_tile.ts";
import { fitsProduct } from "../latent_product.ts";
import { keyTiles } from "../latent_product_tuning.ts";
import { type AbsorbSizes, regionsOf } from "./absorb_regions.ts";
import { zeroRows } from "./case_rows.ts";
import type { KernelCase } from "./kernel_case.ts";

function benchCase(
  label: string,
  rows: number,
  sizes: AbsorbSizes,
  cut: { readonly shape?: AbsorbShape; readonly tile?: MatrixTile } = {},
): KernelCase {
  const { shape, tile } = cut;
  const candidate = shape !== undefined
    ? `, candidate ${describeAbsorb(shape)}`
    : tile !== undefined
    ? `, candidate ${tileName(tile)}`
    : "";
  const product = { keys: true, k: sizes.nope, splits: 1, means: true };
  return {
    label: `${label}, ${rows} rows${candidate}`,
    needs: ["f16"],
    ...(tile && { fits: (gpu: Gpu) => fitsProduct(gpu, tile, product) }),
    prepare(arena) {
      const { heads, groups, nope, rotary, rank } = sizes;
      const capacity = 8;
      const element = "f16" as const;
      const regions = regionsOf(sizes, false);
      const cache = (width: number) =>
        zeroRows(arena, { rows: rows * capacity, width, element });
      const numbers = Uint32Array.from({ length: rows }, (_, i) => i);
      const width = heads * (nope + rotary) + rank + rotary;
      return {
        dispatches: absorbStore(arena, {
          ...regions,
          x: zeroRows(arena, { rows, width }),
          rows,
          rowSequence: arena.upload("rowSequence", numbers),
          rowPosition: arena.upload(
            "rowPosition",
            new Uint32Array(rows).fill(capacity - 1),
          ),
          capacity,
          table: {
            cos: arena.buffer("cos", 2 * capacity * rotary),
            sin: arena.buffer("sin", 2 * capacity * rotary),
            pairs: rotary / 2,
          },
          layout: "half",
          groups,
          keyUp: zeroRows(arena, { rows: groups * nope, width: rank, element }),
          latentFirst: true,
          out: zeroRows(arena, { rows, width: heads * (rank + rotary) }),
          first: { ...regions.first, to: cache(rank) },
          second: { ...regions.second, to: cache(rotary) },
          ...cut,
        }),
        outputs: [],
      };
    },
  };
}

const LLAMA: AbsorbSizes = {
  heads: 32,
  groups: 32,
  nope: 128,
  rotary: 64,
  rank: 512,
};
const SMOLLM: AbsorbSizes = {
  heads: 9,
  groups: 3,
  nope: 64,
  rotary: 64,
  rank: 88,
};

/** For the table. */
export const ABSORB_STORE_BENCH: readonly KernelCase[] = [1, 30, 61, 122, 244]
  .flatMap((rows) => [
    benchCase("LLaMA-2-7B MLA", rows, LLAMA),
    ...absorbCandidates(rows).map((shape) =>
      benchCase("LLaMA-2-7B MLA", rows, LLAMA, { shape })
    ),
    ...(rows === 1 ? [] : keyTiles(rows)).map((tile) =>
      benchCase("LLaMA-2-7B MLA", rows, LLAMA, { tile })
    ),
  ]).concat(benchCase("SmolLM2-135M MLA", 1, SMOLLM));
