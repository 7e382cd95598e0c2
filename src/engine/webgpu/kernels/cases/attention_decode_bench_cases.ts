// Real shapes of attentionDecode(), for timing.

import { attentionDecode } from "../attention_decode.ts";
import {
  describeTile,
  HALF_TILES,
  type TileDecodeShape,
  tileDecodeShape,
} from "../tile_decode_tuning.ts";
import type { DecodeSizes } from "./attention_decode_shapes.ts";
import { zeroRows } from "./case_rows.ts";
import type { KernelCase } from "./kernel_case.ts";

function benchCase(
  label: string,
  sizes: Omit<DecodeSizes, "splits">,
  batch: number,
  context: number,
  splits: number,
  tile?: TileDecodeShape,
): KernelCase {
  return {
    label: `${label}, ${batch} x ${context}, ${splits} splits` +
      (tile === undefined ? "" : `, candidate ${describeTile(tile)}`),
    needs: tile === undefined ? ["f16"] : ["f16", "subgroups"],
    prepare(arena) {
      const { heads, firstWidth, secondWidth, valueWidth } = sizes;
      const keyWidth = firstWidth + secondWidth;
      const rows = batch * context;
      const element = "f16" as const;
      const secondColumns = sizes.valueFrom === "first"
        ? secondWidth
        : sizes.valueGroups * valueWidth;
      return {
        dispatches: attentionDecode(arena, {
          ...sizes,
          query: zeroRows(arena, { rows: batch, width: heads * keyWidth }),
          first: zeroRows(arena, {
            rows,
            width: sizes.keyGroups * firstWidth,
            element,
          }),
          second: zeroRows(arena, { rows, width: secondColumns, element }),
          capacity: context,
          lengths: arena.upload(
            "lengths",
            new Uint32Array(batch).fill(context - 1),
          ),
          batch,
          splits,
          ...(tile && { tile }),
          scale: 0.125,
          partial: arena.buffer(
            "partial",
            4 * batch * heads * splits * valueWidth,
          ),
          stats: arena.buffer("stats", 8 * batch * heads * splits),
          keys: rows,
        }),
        outputs: [],
      };
    },
  };
}

function gqaSizes(
  heads: number,
  groups: number,
  width: number,
): Omit<DecodeSizes, "splits"> {
  return {
    heads,
    keyGroups: groups,
    valueGroups: groups,
    firstWidth: width,
    secondWidth: 0,
    keyGroupStride: width,
    valueFrom: "second",
    valueWidth: width,
    valueGroupStride: width,
  };
}

function mlaSizes(
  heads: number,
  rank: number,
  rotary: number,
): Omit<DecodeSizes, "splits"> {
  return {
    heads,
    keyGroups: 1,
    valueGroups: 1,
    firstWidth: rank,
    secondWidth: rotary,
    keyGroupStride: 0,
    valueFrom: "first",
    valueWidth: rank,
    valueGroupStride: 0,
  };
}

const LLAMA_MLA = mlaSizes(32, 512, 64);

// Tiles to time against the form by lanes, whose splits come first: near multiples
// of an H100's 132 processors, of which one has a workgroup of 32 heads or two of 16.
const CANDIDATES = ([
  [30, 8192, [17, 13, 22]],
  [244, 1024, [1]],
  [7, 32768, [38, 37, 56]],
  [1, 8192, [128, 66]],
  [1, 1024, [64, 32]],
] as const).flatMap(([batch, context, splits]) => [
  ...splits.map((n) =>
    benchCase("candidate lanes", LLAMA_MLA, batch, context, n)
  ),
  ...[
    tileDecodeShape(32, 2, 1, true),
    tileDecodeShape(32, 2, 1, false),
    tileDecodeShape(32, 2, 2, false),
    tileDecodeShape(32, 1, 2, true),
    tileDecodeShape(16, 2, 1, true),
    tileDecodeShape(16, 2, 1, false),
    tileDecodeShape(16, 1, 1, true),
    tileDecodeShape(8, 1, 1, true),
    tileDecodeShape(8, 2, 1, false),
    ...HALF_TILES,
  ].flatMap((tile) =>
    splits.slice(splits.length > 2 ? 1 : 0).map((n) =>
      benchCase("LLaMA-2-7B MLA", LLAMA_MLA, batch, context, n, tile)
    )
  ),
]);

/** LLaMA-2-7B and SmolLM2-135M, at real batches and contexts. */
export const ATTENTION_DECODE_BENCH: readonly KernelCase[] = [
  // Batch, context, splits.
  ...([
    [1, 1024, 16],
    [1, 8192, 32],
    [1, 32768, 64],
    [2, 8192, 16],
    [4, 4096, 8],
    [8, 2048, 4],
    [17, 1024, 2],
  ] as const).map(([batch, context, splits]) =>
    benchCase("LLaMA-2-7B MHA", gqaSizes(32, 32, 128), batch, context, splits)
  ),
  ...([
    [1, 1024, 64],
    [1, 8192, 128],
    [1, 32768, 131],
    [30, 8192, 17],
    [244, 1024, 1],
    [7, 32768, 38],
  ] as const).map(([batch, context, splits]) =>
    benchCase("LLaMA-2-7B MLA", LLAMA_MLA, batch, context, splits)
  ),
  benchCase("SmolLM2-135M GQA", gqaSizes(9, 3, 64), 1, 2048, 32),
  benchCase("SmolLM2-135M MLA", mlaSizes(9, 88, 64), 1, 2048, 64),
  ...CANDIDATES,
];
