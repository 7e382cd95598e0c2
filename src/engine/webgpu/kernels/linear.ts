// A projection of any number of rows: one GEMV that does it all where rows are few,
// else its prologue on its own and a GEMM.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { gatedSilu } from "./gated_silu.ts";
import { gemm } from "./gemm.ts";
import { gemv, type GemvArgs } from "./gemv.ts";
import { padded, type View } from "./kernel.ts";
import { rmsNorm } from "./rms_norm.ts";
import { gemvRows } from "./tuning.ts";

/** What linear() takes. */
export interface LinearArgs extends Omit<GemvArgs, "shape"> {
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
  const most = gemvRows(prologue?.kind);
  if (args.rows <= most) {
    return gemv(arena, prologue === undefined ? product : args);
  }
  const multiply = args.rows <= gemvRows(undefined) ? gemv : gemm;
  if (prologue === undefined) return multiply(arena, product);
  const { x, rows, weight } = args;
  const out = scratch ?? scratchRows(arena, rows, weight.columns);
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

function scratchRows(arena: Arena, rows: number, width: number): View {
  const stride = padded(width);
  const buffer = arena.buffer("linear scratch", 4 * rows * stride);
  return { buffer, element: "f32", offset: 0, stride };
}
