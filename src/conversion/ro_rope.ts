// RoRoPE: rotating the merged key so that few dims hold most of its energy,
// without touching RoPE (§4.2; official partial_rope.py:85-139).
//
// Keeps: with F = 1 (FreqFold off) every score with RoPE on all dims; with any F
// every score without RoPE, since the basis is orthogonal.

import type { Matrix64 } from "../base/tensor.ts";
import { zeros64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { symmetricEigen } from "../linalg/symmetric_eigen.ts";
import {
  componentRow,
  type FreqFold,
  groupCount,
  realSlots,
} from "./freq_fold.ts";

/**
 * The rotation U_i of each group of G·F RoPE pairs.
 *
 * The same matrix turns real and imaginary parts (else it would not commute with
 * RoPE): the eigenvectors of the sum of both parts' uncentered Gram matrices,
 * strongest first. The official 1 % damping of the diagonal shifts all
 * eigenvalues alike and so is left out.
 *
 * Differs from official: eigenvectors stay f64, there they are rounded to the
 * model's dtype (bf16 by default) before use.
 *
 * @param keyGram sum_t k_t k_t^T of the keys before RoPE, biases included, `[G·d, G·d]`.
 * @param fold Sizes.
 * @returns One matrix a group, eigenvectors in columns, `[G·F, G·F]`.
 * @throws {ShapeError} If the Gram matrix has another size.
 */
export function roRopeRotations(keyGram: Matrix64, fold: FreqFold): Matrix64[] {
  const width = fold.numKeyValueHeads * fold.headDim;
  if (keyGram.rows !== width || keyGram.columns !== width) {
    throw new ShapeError(
      `Cannot rotate keys as their Gram matrix must be [${width}, ${width}]: current shape is [${keyGram.rows}, ${keyGram.columns}]`,
    );
  }
  const half = fold.headDim / 2;
  return Array.from({ length: groupCount(fold) }, (_, group) => {
    const slots = realSlots(fold, group);
    const size = slots.length;
    const gram = zeros64(size, size);
    for (let s = 0; s < size; s++) {
      for (let t = 0; t < size; t++) {
        const real = slots[s]! * width + slots[t]!;
        const imaginary = real + half * width + half;
        gram.data[s * size + t] = keyGram.data[real]! +
          keyGram.data[imaginary]!;
      }
    }
    return symmetricEigen(gram).vectors;
  });
}

/**
 * The orthogonal basis P of the merged key: rotated key = P (keys of all heads, head-major).
 *
 * @param rotations From roRopeRotations().
 * @param fold Sizes.
 * @returns P, `[G·d, G·d]`.
 */
export function rotationBasis(
  rotations: readonly Matrix64[],
  fold: FreqFold,
): Matrix64 {
  const width = fold.numKeyValueHeads * fold.headDim;
  const half = fold.headDim / 2;
  const basis = zeros64(width, width);
  for (const [group, { rows: size, data }] of rotations.entries()) {
    const slots = realSlots(fold, group);
    for (let component = 0; component < size; component++) {
      const row = componentRow(fold, group, component);
      for (let s = 0; s < size; s++) {
        const value = data[s * size + component]!;
        basis.data[row * width + slots[s]!] = value;
        basis.data[(row + 1) * width + slots[s]! + half] = value;
      }
    }
  }
  return basis;
}
