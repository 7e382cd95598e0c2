// Decode attention by subgroup matrices at real batches and contexts, with its merge:
// `deno task bench kernels --provider dawn --only "attention_decode_matrix: *candidate*"`.

import { attentionDecode } from "../attention_decode.ts";
import {
  fitsMatrixDecode,
  type MatrixDecodeShape,
} from "../attention_matrix_layout.ts";
import {
  MATRIX_DESIGNS,
  type MatrixDesign,
  matrixSplits,
} from "../attention_matrix_tuning.ts";
import { attentionMerge } from "../attention_merge.ts";
import { zeroRows } from "./case_rows.ts";
import type { KernelCase } from "./kernel_case.ts";

// LLaMA-2-7B by 93 %.
const HEADS = 32;
const RANK = 512;
const ROTARY = 64;
const VALUE = 128;

const [PIPE, SEQUENCE] = MATRIX_DESIGNS as readonly [
  MatrixDesign,
  MatrixDesign,
];

/** Batch, context, splits that could be best. */
const SHAPES: readonly (readonly [
  batch: number,
  context: number,
  splits: readonly number[],
])[] = [
  [1, 1024, [32, 64]],
  [1, 8192, [64, 128]],
  [1, 32768, [128, 256]],
  [7, 32768, [18, 37, 74]],
  [15, 16384, [8, 17, 35]],
  [30, 8192, [4, 8, 13]],
  [61, 4096, [2, 4]],
  [122, 2048, [1, 2]],
  [244, 1024, [1, 2]],
];

function benchCase(
  batch: number,
  context: number,
  shape: MatrixDecodeShape,
  what: "candidate" | "with merge",
): KernelCase {
  const { tokens, buffers, rowBlocks, skips, splits } = shape;
  const slices = 8 / rowBlocks / (tokens / 16);
  const name = `${buffers === 2 ? "pipe" : "seq"}${tokens}k${slices}${
    buffers === 2 && skips ? " branch" : ""
  }`;
  const sizes = {
    heads: HEADS,
    keyGroups: 1,
    valueGroups: 1,
    firstWidth: RANK,
    secondWidth: ROTARY,
    keyGroupStride: 0,
    valueFrom: "first" as const,
    valueWidth: RANK,
    valueGroupStride: 0,
  };
  return {
    label: `${batch} x ${context}, ${what} ${name}, ${splits} splits`,
    needs: ["f16", "subgroups", "subgroupMatrix"],
    fits: (gpu) => fitsMatrixDecode(gpu, sizes, shape),
    prepare(arena) {
      const rows = batch * context;
      const element = "f16" as const;
      const partial = arena.buffer(
        "partial",
        2 * batch * HEADS * splits * RANK,
      );
      const stats = arena.buffer("stats", 8 * batch * HEADS * splits);
      const lengths = new Uint32Array(batch).fill(context - 1);
      const attention = attentionDecode(arena, {
        ...sizes,
        query: zeroRows(arena, { rows: batch, width: HEADS * (RANK + ROTARY) }),
        first: zeroRows(arena, { rows, width: RANK, element }),
        second: zeroRows(arena, { rows, width: ROTARY, element }),
        capacity: context,
        lengths: arena.upload("lengths", lengths),
        batch,
        splits,
        scale: 0.125,
        partial,
        stats,
        matrix: shape,
        keys: rows,
      });
      if (what === "candidate") return { dispatches: attention, outputs: [] };
      const merge = attentionMerge(arena, {
        partial,
        stats,
        batch,
        heads: HEADS,
        splits,
        width: RANK,
        means: true,
        up: {
          weight: zeroRows(arena, {
            rows: HEADS * VALUE,
            width: RANK,
            element,
          }),
          groups: HEADS,
          firstRow: 0,
          rowsPerGroup: VALUE,
          value: VALUE,
        },
        out: zeroRows(arena, { rows: batch, width: HEADS * VALUE, element }),
      });
      return { dispatches: [...attention, ...merge], outputs: [] };
    },
  };
}

/** Every candidate alone, and what the tuning takes with its merge. */
export const ATTENTION_DECODE_MATRIX_BENCH: readonly KernelCase[] = SHAPES
  .flatMap(([batch, context, counts]) => {
    const designs = batch <= 7
      ? [PIPE, { ...PIPE, skips: true }, SEQUENCE]
      : [PIPE, SEQUENCE];
    const taken = batch === 1 && context > 2048 ? SEQUENCE : PIPE;
    const size = { batch, capacity: context, heads: HEADS };
    return [
      benchCase(batch, context, {
        ...taken,
        splits: matrixSplits(size, taken),
      }, "with merge"),
      ...designs.flatMap((design) =>
        counts.map((splits) =>
          benchCase(batch, context, { ...design, splits }, "candidate")
        )
      ),
    ];
  });
