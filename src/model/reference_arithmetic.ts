// The arithmetic of the reference forward pass: activations are f64, weights
// are widened from f32 as they are multiplied.

import type { Tensor } from "../base/tensor.ts";
import type { Linear } from "./decoder.ts";

/** A vector operand: f64 activations or f32 weights. */
export type Operand = Float64Array | Float32Array;

/**
 * Dot product of two runs of contiguous elements.
 *
 * @param a First operand.
 * @param aStart Where its run starts.
 * @param b Second operand.
 * @param bStart Where its run starts.
 * @param length Elements in the run.
 * @returns The sum of products, in f64.
 */
export function dot(
  a: Operand,
  aStart: number,
  b: Operand,
  bStart: number,
  length: number,
): number {
  // Four sums, since one would wait for each addition before the next.
  let sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    sum0 += a[aStart + i]! * b[bStart + i]!;
    sum1 += a[aStart + i + 1]! * b[bStart + i + 1]!;
    sum2 += a[aStart + i + 2]! * b[bStart + i + 2]!;
    sum3 += a[aStart + i + 3]! * b[bStart + i + 3]!;
  }
  for (; i < length; i++) sum0 += a[aStart + i]! * b[bStart + i]!;
  return sum0 + sum1 + (sum2 + sum3);
}

/**
 * y = W x + b for every row of `x`.
 *
 * @param x Activations, [T, in].
 * @param rows T.
 * @param linear Weight [out, in] and, where there is one, bias [out].
 * @returns [T, out].
 */
export function applyLinear(
  x: Float64Array,
  rows: number,
  linear: Linear,
): Float64Array {
  const { weight, bias } = linear;
  const y = multiplyTransposed(x, rows, weight);
  if (bias !== undefined) {
    const out = bias.data.length;
    for (let t = 0; t < rows; t++) {
      for (let o = 0; o < out; o++) y[t * out + o]! += bias.data[o]!;
    }
  }
  return y;
}

/**
 * y = x W^T for every row of `x`.
 *
 * @param x Activations, [T, in].
 * @param rows T.
 * @param weight [out, in].
 * @returns [T, out].
 */
export function multiplyTransposed(
  x: Float64Array,
  rows: number,
  weight: Tensor,
): Float64Array {
  const w = weight.data;
  const out = weight.shape[0]!;
  const into = weight.shape[1]!;
  const y = new Float64Array(rows * out);
  for (let o = 0; o < out; o++) {
    const row = o * into;
    let t = 0;
    // Four rows of x share each weight that is loaded.
    for (; t + 4 <= rows; t += 4) {
      const x0 = t * into, x1 = x0 + into, x2 = x1 + into, x3 = x2 + into;
      let sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
      for (let i = 0; i < into; i++) {
        const element = w[row + i]!;
        sum0 += element * x[x0 + i]!;
        sum1 += element * x[x1 + i]!;
        sum2 += element * x[x2 + i]!;
        sum3 += element * x[x3 + i]!;
      }
      y[t * out + o] = sum0;
      y[(t + 1) * out + o] = sum1;
      y[(t + 2) * out + o] = sum2;
      y[(t + 3) * out + o] = sum3;
    }
    for (; t < rows; t++) y[t * out + o] = dot(x, t * into, w, row, into);
  }
  return y;
}

/**
 * RMSNorm of every row: x / sqrt(mean x^2 + eps) * weight.
 *
 * @param x [T, D].
 * @param weight [D].
 * @param eps Added to the mean square.
 * @returns [T, D], new.
 */
export function rmsNorm(
  x: Float64Array,
  weight: Tensor,
  eps: number,
): Float64Array {
  const width = weight.data.length;
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const scale = 1 /
      Math.sqrt(dot(x, start, x, start, width) / width + eps);
    for (let i = 0; i < width; i++) {
      y[start + i] = x[start + i]! * scale * weight.data[i]!;
    }
  }
  return y;
}

/** silu(x) = x / (1 + e^-x). */
export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/**
 * log(sum of e^x) over one run, without overflow.
 *
 * @param x Holds the run.
 * @param start Where it starts.
 * @param length Elements in it, at least 1.
 * @returns The logarithm, in nats.
 */
export function logSumExp(
  x: Operand,
  start: number,
  length: number,
): number {
  let largest = -Infinity;
  for (let i = 0; i < length; i++) {
    largest = Math.max(largest, x[start + i]!);
  }
  let sum = 0;
  for (let i = 0; i < length; i++) sum += Math.exp(x[start + i]! - largest);
  return largest + Math.log(sum);
}
