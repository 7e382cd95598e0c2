// Joint PCA of nope keys and values: one latent for both (§4.3; official
// utils.py:388-403). Keeps the scores and outputs of the partial-RoPE layer
// exactly at full rank.

import type { Matrix64 } from "../base/tensor.ts";
import { zeros64 } from "../base/tensor.ts";
import { columnBlock, mirrorLower, trace } from "../linalg/blocks.ts";
import { gemm64 } from "../linalg/gemm.ts";
import { orthonormalized, seededNoise } from "../linalg/orthonormal.ts";
import {
  type SymmetricEigen,
  symmetricEigen,
} from "../linalg/symmetric_eigen.ts";
import { topEigen } from "../linalg/top_eigen.ts";

/** What the first r directions of a PCA hold. */
export interface JointPca {
  /** R, orthonormal columns: rows of nope keys first, of values after, `[2·G·d - m, r]`. */
  readonly directions: Matrix64;
  /** Share of the energy in the r directions, 0-1. */
  readonly keptEnergy: number;
  /** Trace of the Gram matrix. */
  readonly totalEnergy: number;
  readonly eigenvalueKept: number;
  /** Absent at full rank. */
  readonly eigenvalueDropped?: number;
}

/**
 * The Gram matrix of [k_nope / rho | v].
 *
 * @param gram Of [k; v], k in the rotated basis, `[2·G·d, 2·G·d]`.
 * @param qkRopeHeadDim m, whose dims are left out.
 * @param ratio rho
 * @returns `[2·G·d - m, 2·G·d - m]`
 */
export function balancedGram(
  gram: Matrix64,
  qkRopeHeadDim: number,
  ratio: number,
): Matrix64 {
  const size = gram.rows - qkRopeHeadDim;
  const nope = gram.rows / 2 - qkRopeHeadDim;
  const data = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const rowScale = i < nope ? 1 / ratio : 1;
    const row = (i + qkRopeHeadDim) * gram.columns + qkRopeHeadDim;
    for (let j = 0; j < size; j++) {
      data[i * size + j] = gram.data[row + j]! *
        (rowScale * (j < nope ? 1 / ratio : 1));
    }
  }
  return { rows: size, columns: size, data };
}

/** A decomposition that ranks are cut from: all of them, or the first few hundred. */
export interface JointSpectrum {
  /** Values descend; vectors `[2·G·d - m, directions]`. */
  readonly eigen: SymmetricEigen;
  readonly totalEnergy: number;
}

/** symmetricEigen(), wherever it runs. */
export type Decompose = (
  a: Matrix64,
) => SymmetricEigen | Promise<SymmetricEigen>;

/** Widest Gram matrix whose whole spectrum is computed; of wider ones only the top is. */
export const DENSE_WIDTH = 1024;

/** Numbers of directions are multiples of this, so that near ranks share one decomposition. */
const DIRECTION_STEP = 128;

/**
 * The directions that a rank is cut from. It depends on nothing else, so that
 * results do not depend on which ranks a sweep asked for before.
 *
 * @param kvLoraRank r
 * @param width 2·G·d - m
 * @returns width, or of wide layers the rank rounded up.
 */
export function directionsFor(kvLoraRank: number, width: number): number {
  const steps = Math.ceil(kvLoraRank / DIRECTION_STEP);
  return width <= DENSE_WIDTH ? width : Math.min(width, steps * DIRECTION_STEP);
}

/**
 * Decomposes the balanced Gram matrix, uncentered. The official 1 % damping of
 * the diagonal shifts all eigenvalues alike and so is left out.
 *
 * @param gram From balancedGram().
 * @param directions From directionsFor(). @default all
 * @param decompose symmetricEigen(), or the same in a thread.
 * @returns Its spectrum.
 */
export async function jointSpectrum(
  gram: Matrix64,
  directions = gram.rows,
  decompose: Decompose = symmetricEigen,
): Promise<JointSpectrum> {
  const eigen = directions === gram.rows
    ? await decompose(gram)
    : await topEigen(gram, directions);
  return { eigen, totalEnergy: trace(gram) };
}

/**
 * The top of the spectrum of C C^T, from the smaller C^T C: with C^T C y = λ y
 * the direction is C y / sqrt(λ).
 *
 * @param factor C, balanced, `[2·G·d - m, q]`.
 * @param directions From directionsFor().
 * @returns The spectrum; beyond the rank of C its values are 0 and its directions arbitrary.
 */
export async function factoredSpectrum(
  factor: Matrix64,
  directions: number,
): Promise<JointSpectrum> {
  const inner = await gemm64(factor, factor, { transA: true });
  mirrorLower(inner);
  const found = Math.min(directions, factor.columns);
  const top = await topEigen(inner, found);
  const images = await gemm64(factor, top.vectors);
  const block = zeros64(factor.rows, directions);
  for (let row = 0; row < factor.rows; row++) {
    block.data.set(
      images.data.subarray(row * found, (row + 1) * found),
      row * directions,
    );
  }
  const values = new Float64Array(Math.min(directions + 1, factor.rows));
  values.set(top.values);
  return {
    eigen: { values, vectors: await orthonormalized(block, seededNoise(1)) },
    totalEnergy: trace(inner),
  };
}

/**
 * The first r directions of a spectrum.
 *
 * @param spectrum From jointSpectrum().
 * @param kvLoraRank r
 * @returns The directions and what they hold.
 */
export function jointPca(
  { eigen, totalEnergy }: JointSpectrum,
  kvLoraRank: number,
): JointPca {
  const { values, vectors } = eigen;
  let kept = 0;
  for (let i = 0; i < kvLoraRank; i++) kept += values[i]!;
  const dropped = values[kvLoraRank];
  return {
    directions: columnBlock(vectors, 0, kvLoraRank),
    keptEnergy: totalEnergy > 0 ? kept / totalEnergy : 1,
    totalEnergy,
    eigenvalueKept: values[kvLoraRank - 1]!,
    ...(dropped !== undefined && { eigenvalueDropped: dropped }),
  };
}
