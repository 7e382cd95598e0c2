// Scoring: logits exist for a range of the vocabulary at a time, and each row
// keeps the running maximum, sum and target logit.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { crossEntropy, vocabularyPartial } from "../kernels/cross_entropy.ts";
import { gemm } from "../kernels/gemm.ts";
import { rmsNorm } from "../kernels/rms_norm.ts";
import type { GpuModel } from "./gpu_model.ts";
import type { PassPlan } from "./pass_plan.ts";
import { allocateRows, bindingBytes } from "./scratch.ts";

/** The target of a row that predicts nothing. */
export const NO_TARGET = 0xffffffff;

/** Bytes of logits that exist at a time. */
const LOGITS_BYTES = 256 * 2 ** 20;

/** The head of a scoring pass. */
export interface ScorePlan {
  readonly dispatches: readonly Dispatch[];
  /** Next token of each row, u32 [R]. */
  readonly targets: GPUBuffer;
  /** -log p(target) in nats, f32 [R]. */
  readonly nll: GPUBuffer;
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
  const { vocabSize } = model;
  const bytes = Math.min(LOGITS_BYTES, bindingBytes(arena));
  const wanted = Math.floor(bytes / (4 * rows) / 128) * 128;
  const columns = Math.min(vocabSize, Math.max(128, wanted));
  const logits = allocateRows(arena, "logits", rows, columns);
  const targets = arena.buffer("targets", rows * 4);
  const state = arena.buffer("cross-entropy state", rows * 3 * 4);
  const nll = arena.buffer("nll", rows * 4);
  const dispatches = [...finalNorm(arena, model, pass)];
  for (let first = 0; first < vocabSize; first += columns) {
    const count = Math.min(columns, vocabSize - first);
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
  dispatches.push(...crossEntropy(arena, { state, rows, targets, out: nll }));
  return { dispatches, targets, nll };
}

/** x normed to y by the final norm. */
export function finalNorm(
  arena: Arena,
  model: GpuModel,
  { x, y, layout: { rows } }: PassPlan,
): Dispatch[] {
  return rmsNorm(arena, {
    x,
    weight: model.finalNorm,
    out: y,
    rows,
    width: model.hiddenSize,
    eps: model.rmsNormEps,
  });
}
