// Joint PCA of nope keys and values: one latent for both (§4.3; official
// utils.py:388-403). Keeps the scores and outputs of the partial-RoPE layer
// exactly at full rank.

import type { Matrix64 } from "../base/tensor.ts";
import { columnBlock, trace } from "../linalg/blocks.ts";
import {
  type SymmetricEigen,
  symmetricEigen,
} from "../linalg/symmetric_eigen.ts";

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

/** A decomposition that every rank can be cut from. */
export interface JointSpectrum {
  readonly eigen: SymmetricEigen;
  readonly totalEnergy: number;
}

/**
 * Decomposes the balanced Gram matrix, uncentered. The official 1 % damping of
 * the diagonal shifts all eigenvalues alike and so is left out.
 *
 * @param gram From balancedGram().
 * @returns Its spectrum.
 */
export function jointSpectrum(gram: Matrix64): JointSpectrum {
  return { eigen: symmetricEigen(gram), totalEnergy: trace(gram) };
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
