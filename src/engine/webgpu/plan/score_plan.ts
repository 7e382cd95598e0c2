// Scoring: logits exist for a range of the vocabulary at a time, and each row
// keeps the running maximum, sum and target logit.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { crossEntropy, vocabularyPartial } from "../kernels/cross_entropy.ts";
import { gemm } from "../kernels/gemm.ts";
import type { View } from "../kernels/kernel.ts";
import { rmsNorm } from "../kernels/rms_norm.ts";
import type { GpuModel } from "./gpu_model.ts";
import type { PassPlan } from "./pass_plan.ts";
import { allocateRows, bindingBytes } from "./scratch.ts";
import type { RowHead } from "./window_passes.ts";

/** The target of a row that predicts nothing. */
export const NO_TARGET = 0xffffffff;

/** Bytes of logits that exist at a time. */
const LOGITS_BYTES = 256 * 2 ** 20;

/** The head of a scoring pass; `out` holds -log p(target) in nats, [R]. */
export interface ScorePlan extends RowHead {
  /** Next token of each row, u32 [R]. */
  readonly targets: GPUBuffer;
}

/**
 * Cuts a vocabulary in ranges.
 *
 * @param arena Of the device.
 * @param model The model.
 * @param rows Rows of logits.
 * @param matrices Matrices of logits that exist at a time.
 * @returns Columns of a matrix, and the token ids that each range covers.
 */
export function vocabularyRanges(
  arena: Arena,
  { vocabSize }: GpuModel,
  rows: number,
  matrices: number,
): {
  readonly columns: number;
  readonly ranges: readonly {
    readonly first: number;
    readonly count: number;
  }[];
} {
  const bytes = Math.min(LOGITS_BYTES / matrices, bindingBytes(arena));
  const wanted = Math.floor(bytes / (4 * rows) / 128) * 128;
  const columns = Math.min(vocabSize, Math.max(128, wanted));
  return {
    columns,
    ranges: Array.from({ length: Math.ceil(vocabSize / columns) }, (_, i) => ({
      first: i * columns,
      count: Math.min(columns, vocabSize - i * columns),
    })),
  };
}

/**
 * Records the head of a scoring pass.
 *
 * @param arena Owns its buffers.
 * @param model The model.
 * @param pass What has run before.
 */
export function recordScore(
  arena: Arena,
  model: GpuModel,
  pass: PassPlan,
): ScorePlan {
  const { y, layout: { rows } } = pass;
  const { columns, ranges } = vocabularyRanges(arena, model, rows, 1);
  const logits = allocateRows(arena, "logits", rows, columns);
  const targets = arena.buffer("targets", rows * 4);
  const state = arena.buffer("cross-entropy state", rows * 3 * 4);
  const out = arena.buffer("nll", rows * 4);
  const dispatches = [...finalNorm(arena, model, pass)];
  for (const { first, count } of ranges) {
    dispatches.push(
      ...gemm(arena, {
        x: y,
        rows,
        weight: model.lmHead,
        firstWeightRow: first,
        weightRows: count,
        out: logits,
      }),
      ...vocabularyPartial(arena, {
        logits,
        rows,
        columns: count,
        firstColumn: first,
        targets,
        state,
        first: first === 0,
      }),
    );
  }
  dispatches.push(...crossEntropy(arena, { state, rows, targets, out }));
  return { dispatches, out, stride: 1, targets };
}

/** x normed by the final norm, to y if nowhere else. */
export function finalNorm(
  arena: Arena,
  model: GpuModel,
  { x, y, layout: { rows } }: PassPlan,
  out: View = y,
): Dispatch[] {
  return rmsNorm(arena, {
    x,
    weight: model.finalNorm,
    out,
    rows,
    width: model.hiddenSize,
    eps: model.rmsNormEps,
  });
}
