// Cholesky factors of symmetric positive semidefinite matrices, by blocks: all
// but the thin panels are products through gemm64().

import { type Matrix64, zeros64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { rowBlock } from "./blocks.ts";
import { gemm64 } from "./gemm.ts";

/** Columns of a panel, which plain loops factor. */
const PANEL = 64;

/** Rows of one update: bounds the product that is subtracted. */
const UPDATE_ROWS = 512;

/**
 * The lower factor of a symmetric positive semidefinite matrix, A + shift = L L^T.
 *
 * The shift is relative to each diagonal element: rows and columns are scaled to
 * a unit diagonal first, so that a channel a million times weaker than another
 * is shifted a million times less. Zero rows give zero rows of L.
 *
 * @param a `[n, n]`, symmetric; only the lower triangle is read.
 * @param shift Relative, for matrices that are singular up to rounding. @default 0
 * @returns L, `[n, n]`, or undefined where a pivot is not positive or the matrix not finite.
 * @throws {ShapeError} If the matrix is not square.
 */
export async function cholesky(
  a: Matrix64,
  shift = 0,
): Promise<Matrix64 | undefined> {
  const n = a.rows;
  if (a.columns !== n) {
    throw new ShapeError(
      `Cannot factor a matrix as it must be square: current shape is [${a.rows}, ${a.columns}]`,
    );
  }
  const scale = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    scale[i] = Math.sqrt(Math.max(0, a.data[i * n + i]!));
    if (!(scale[i]! < Infinity)) return undefined;
  }
  const factor = zeros64(n, n);
  const { data } = factor;
  for (let i = 0; i < n; i++) {
    // A zero channel factors alone, as 1, and is scaled back to 0.
    data[i * n + i] = scale[i]! > 0 ? 1 + shift : 1;
    if (scale[i] === 0) continue;
    for (let j = 0; j < i; j++) {
      const size = scale[i]! * scale[j]!;
      data[i * n + j] = size > 0 ? a.data[i * n + j]! / size : 0;
    }
  }
  for (let start = 0; start < n; start += PANEL) {
    const end = Math.min(start + PANEL, n);
    if (!factorPanel(data, n, start, end)) return undefined;
    await updateTrailing(factor, start, end);
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) data[i * n + j]! *= scale[i]!;
  }
  return factor;
}

/** Factors columns [start, end), whose updates are done; false where a pivot is not positive. */
function factorPanel(
  data: Float64Array,
  n: number,
  start: number,
  end: number,
): boolean {
  for (let i = start; i < n; i++) {
    const row = i * n;
    const width = Math.min(i, end - 1);
    for (let j = start; j <= width; j++) {
      const other = j * n;
      let sum = data[row + j]!;
      for (let k = start; k < j; k++) sum -= data[row + k]! * data[other + k]!;
      if (i > j) {
        data[row + j] = sum / data[other + j]!;
      } else {
        if (!(sum > 0)) return false;
        data[row + j] = Math.sqrt(sum);
      }
    }
  }
  return true;
}

/** Subtracts the product of a finished panel with itself from the lower triangle behind it. */
async function updateTrailing(
  { rows: n, data }: Matrix64,
  start: number,
  end: number,
): Promise<void> {
  const width = end - start;
  const panel = zeros64(n - end, width);
  for (let i = end; i < n; i++) {
    panel.data.set(
      data.subarray(i * n + start, i * n + end),
      (i - end) * width,
    );
  }
  for (let from = 0; from < panel.rows; from += UPDATE_ROWS) {
    const to = Math.min(from + UPDATE_ROWS, panel.rows);
    const product = await gemm64(
      rowBlock(panel, from, to),
      rowBlock(panel, 0, to),
      { transB: true },
    );
    for (let i = from; i < to; i++) {
      const row = (i + end) * n + end;
      const source = (i - from) * to;
      for (let j = 0; j <= i; j++) data[row + j]! -= product.data[source + j]!;
    }
  }
}

/**
 * The inverse of a lower triangular matrix.
 *
 * @param lower `[n, n]` with a nonzero diagonal; what is above it is not read.
 * @returns L^-1, lower triangular, `[n, n]`.
 */
export function lowerInverse({ rows: n, data }: Matrix64): Matrix64 {
  const inverse = zeros64(n, n);
  const out = inverse.data;
  // Row i of L^-1 = (e_i - sum_k<i L_ik row k) / L_ii.
  for (let i = 0; i < n; i++) {
    const row = i * n;
    for (let k = 0; k < i; k++) {
      const factor = data[row + k]!;
      if (factor === 0) continue;
      const source = k * n;
      for (let j = 0; j <= k; j++) out[row + j]! -= factor * out[source + j]!;
    }
    const pivot = data[row + i]!;
    for (let j = 0; j < i; j++) out[row + j]! /= pivot;
    out[row + i] = 1 / pivot;
  }
  return inverse;
}
