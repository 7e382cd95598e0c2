// Divergence from an original: logits of both models exist for a range of the
// vocabulary at a time, and each row keeps running sums.

import type { Arena } from "../device/gpu.ts";
import {
  divergence,
  divergencePartial,
  divergenceState,
} from "../kernels/divergence.ts";
import { gemm } from "../kernels/gemm.ts";
import type { View } from "../kernels/kernel.ts";
import type { GpuModel } from "./gpu_model.ts";
import type { PassPlan } from "./pass_plan.ts";
import { allocateRows } from "./scratch.ts";
import { finalNorm, vocabularyRanges } from "./score_plan.ts";
import type { RowHead } from "./window_passes.ts";

/** The head of a comparing pass; `out` holds KL and agreement, [R, 2]. */
export interface DivergencePlan extends RowHead {
  /** The original's states after the final norm, [R, D]: written before each run. */
  readonly original: View;
}

/**
 * Records the head of a comparing pass.
 *
 * @param arena Owns its buffers.
 * @param model The model; its head is the original's, too.
 * @param pass What has run before.
 */
export function recordDivergence(
  arena: Arena,
  model: GpuModel,
  pass: PassPlan,
): DivergencePlan {
  const { y, layout: { rows } } = pass;
  const original = allocateRows(arena, "original", rows, model.hiddenSize);
  const { columns, ranges } = vocabularyRanges(arena, model, rows, 2);
  const originalLogits = allocateRows(arena, "original logits", rows, columns);
  const logits = allocateRows(arena, "logits", rows, columns);
  const state = divergenceState(arena, rows);
  const out = arena.buffer("divergence", rows * 2 * 4);
  const dispatches = [...finalNorm(arena, model, pass)];
  for (const { first, count } of ranges) {
    const part = {
      rows,
      weight: model.lmHead,
      firstWeightRow: first,
      weightRows: count,
    };
    dispatches.push(
      ...gemm(arena, { x: original, ...part, out: originalLogits }),
      ...gemm(arena, { x: y, ...part, out: logits }),
      ...divergencePartial(arena, {
        original: originalLogits,
        other: logits,
        rows,
        columns: count,
        firstColumn: first,
        state,
        first: first === 0,
      }),
    );
  }
  dispatches.push(...divergence(arena, { state, rows, out }));
  return { dispatches, out, stride: 2, original };
}
