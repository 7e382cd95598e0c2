// Orthonormal bases of tall blocks by repeated Cholesky-QR: everything but small
// triangles is a matrix product. A shift lets the first pass take blocks whose
// columns are dependent (Fukaya et al. 2020, shifted Cholesky-QR).

import type { Matrix64 } from "../base/tensor.ts";
import { cholesky, lowerInverse } from "./cholesky.ts";
import { gemm64 } from "./gemm.ts";

/** Largest |X^T X - I| of a basis. */
const ORTHONORMAL = 1e-13;

const MAX_PASSES = 12;

/** Relative to unit columns; a pass divides dependence by about its root. */
const SHIFT = 1e-12;

/** Uniform numbers in [-1, 1), the same at every start. */
export type Noise = () => number;

/**
 * Seeded uniform numbers.
 *
 * @param seed Any integer.
 * @returns Numbers in [-1, 1): a Weyl sequence through MurmurHash3's finalizer.
 */
export function seededNoise(seed: number): Noise {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let word = state;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return ((word ^ (word >>> 16)) >>> 0) / 2 ** 31 - 1;
  };
}

/**
 * An orthonormal basis of a block's columns. Where columns depend on others,
 * and where they are zero, arbitrary directions take their place.
 *
 * @param block `[n, b]`, b <= n; it is overwritten.
 * @param noise Fills zero columns.
 * @returns `[n, b]`
 * @throws {RangeError} If the block is not finite.
 */
export async function orthonormalized(
  block: Matrix64,
  noise: Noise,
): Promise<Matrix64> {
  let x = block;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    normalizeColumns(x, noise);
    const gram = await gemm64(x, x, { transA: true });
    if (distanceFromIdentity(gram) <= ORTHONORMAL) return x;
    const factor = await cholesky(gram) ?? await shiftedFactor(gram);
    x = await gemm64(x, lowerInverse(factor), { transB: true });
  }
  return x;
}

/** A factor of a Gram matrix that rounding may have made indefinite. */
async function shiftedFactor(gram: Matrix64): Promise<Matrix64> {
  for (let shift = SHIFT; shift < 1; shift *= 100) {
    const factor = await cholesky(gram, shift);
    if (factor !== undefined) return factor;
  }
  throw new RangeError(
    "Cannot orthonormalize a block as it must be finite: its Gram matrix has no Cholesky factor",
  );
}

function normalizeColumns(
  { rows, columns, data }: Matrix64,
  noise: Noise,
): void {
  const norms = columnNorms({ rows, columns, data });
  for (let j = 0; j < columns; j++) {
    if (norms[j]! > 0) continue;
    for (let i = 0; i < rows; i++) {
      const value = noise();
      data[i * columns + j] = value;
      norms[j]! += value * value;
    }
    norms[j] = Math.sqrt(norms[j]!);
  }
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) data[i * columns + j]! /= norms[j]!;
  }
}

/**
 * Euclidean norms of a matrix's columns.
 *
 * @param a `[rows, columns]`
 * @returns `[columns]`
 */
export function columnNorms(
  { rows, columns, data }: Matrix64,
): Float64Array {
  const norms = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      norms[j]! += data[i * columns + j]! ** 2;
    }
  }
  return norms.map(Math.sqrt);
}

function distanceFromIdentity({ rows: n, data }: Matrix64): number {
  let worst = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const distance = Math.abs(data[i * n + j]! - (i === j ? 1 : 0));
      // NaN must not pass for orthonormal.
      if (!(distance <= worst)) worst = distance;
    }
  }
  return worst;
}
