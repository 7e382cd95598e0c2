// Real shapes of attentionDecode(), for timing.

import { attentionDecode } from "../attention_decode.ts";
import type { DecodeSizes } from "./attention_decode_cases.ts";
import { zeroRows } from "./case_rows.ts";
import type { KernelCase } from "./kernel_case.ts";

function benchCase(
  label: string,
  sizes: Omit<DecodeSizes, "splits">,
  batch: number,
  context: number,
  splits: number,
): KernelCase {
  return {
    label: `${label}, ${batch} x ${context}, ${splits} splits`,
    needs: ["f16"],
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
    benchCase("LLaMA-2-7B MLA", mlaSizes(32, 512, 64), batch, context, splits)
  ),
  benchCase("SmolLM2-135M GQA", gqaSizes(9, 3, 64), 1, 2048, 32),
  benchCase("SmolLM2-135M MLA", mlaSizes(9, 88, 64), 1, 2048, 64),
];
