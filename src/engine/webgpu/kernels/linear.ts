// A projection of any number of rows: one GEMV that does it all where rows are few,
// else its prologue on its own and a GEMM.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { gatedSilu } from "./gated_silu.ts";
import { gemm } from "./gemm.ts";
import { gemmInput } from "./gemm_tuning.ts";
import { gemv, type GemvArgs, type Prologue } from "./gemv.ts";
import { foldedRows, gemvRows } from "./gemv_tuning.ts";
import { type Element, ELEMENT_BYTES, padded, type View } from "./kernel.ts";
import { rmsNorm } from "./rms_norm.ts";

/** What linear() takes. */
export interface LinearArgs
  extends Omit<GemvArgs, "shape" | "prologue" | "epilogue"> {
  readonly prologue?: Prologue;
  /** [rows, columns of W], for f(x) where gemv() does not compute it; made here where absent. */
  readonly scratch?: View;
}

/**
 * out[i, outColumn + j] (+)= sum_k W[j, k]·f(x[i])[k] + bias[j].
 *
 * @param arena Owns the parameters.
 * @param args Operands.
 * @returns The dispatches, in order.
 */
export function linear(arena: Arena, args: LinearArgs): Dispatch[] {
  const { scratch, prologue, ...product } = args;
  const { x, rows, weight } = args;
  const { gpu } = arena;
  if (rows <= foldedRows(gpu, weight.element, prologue?.kind)) {
    return gemv(
      arena,
      prologue === undefined ? product : { ...product, prologue },
    );
  }
  const few = rows <= gemvRows(gpu, weight.element);
  const multiply = few ? gemv : gemm;
  if (prologue === undefined) return multiply(arena, product);
  const element = few ? "f32" : gemmInput(gpu, weight.element);
  const out = scratch ?? scratchRows(arena, rows, weight.columns, element);
  const before = prologue.kind === "norm"
    ? rmsNorm(arena, {
      x,
      weight: prologue.weight,
      out,
      rows,
      width: weight.columns,
      eps: prologue.eps,
    })
    : gatedSilu(arena, { x, out, rows, width: weight.columns });
  return [...before, ...multiply(arena, { ...product, x: out })];
}

function scratchRows(
  arena: Arena,
  rows: number,
  width: number,
  element: Element,
): View {
  const stride = padded(width);
  const bytes = ELEMENT_BYTES[element] * rows * stride;
  const buffer = arena.buffer("linear scratch", bytes);
  return { buffer, element, offset: 0, stride };
}
