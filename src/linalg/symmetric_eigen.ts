// Eigenvalues and eigenvectors of a dense symmetric matrix, all of them, up to
// about 1000 x 1000 (Householder tridiagonalization and QL, through ml-matrix).

import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import type { Matrix64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";

/** A = V diag(values) V^T. */
export interface SymmetricEigen {
  /** Descending, `[n]`. */
  readonly values: Float64Array;
  /** Orthonormal eigenvectors in columns, in the order of `values`, `[n, n]`. */
  readonly vectors: Matrix64;
}

/** Largest |a_ij - a_ji| accepted, relative to the largest |a_ij|. */
const ASYMMETRY_LIMIT = 1e-10;

/**
 * Decomposes a symmetric matrix. Eigenvalues descend; of each eigenvector's two
 * signs the one whose largest component (the first, if several are equal) is
 * positive, so that equal input gives equal output.
 *
 * @param a `[n, n]`, symmetric and finite.
 * @returns Eigenvalues and eigenvectors.
 * @throws {ShapeError} If the matrix is not square.
 * @throws {RangeError} If it is not symmetric, or holds NaN or infinity.
 */
export function symmetricEigen(a: Matrix64): SymmetricEigen {
  const n = a.rows;
  if (a.columns !== n) {
    throw new ShapeError(
      `Cannot decompose a matrix as it must be square: current shape is [${a.rows}, ${a.columns}]`,
    );
  }
  checkSymmetric(a);
  const rows = Array.from(
    { length: n },
    (_, i) => a.data.subarray(i * n, (i + 1) * n),
  );
  const decomposition = new EigenvalueDecomposition(new Matrix(rows), {
    assumeSymmetric: true,
  });
  const unordered = decomposition.realEigenvalues;
  const basis = decomposition.eigenvectorMatrix;
  const order = unordered.map((_, i) => i)
    .sort((i, j) => unordered[j]! - unordered[i]!);

  const values = new Float64Array(n);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    values[to] = unordered[from]!;
    let largest = 0;
    for (let i = 0; i < n; i++) {
      const value = basis.get(i, from);
      if (Math.abs(value) > Math.abs(largest)) largest = value;
    }
    const sign = largest < 0 ? -1 : 1;
    for (let i = 0; i < n; i++) vectors[i * n + to] = sign * basis.get(i, from);
  });
  return { values, vectors: { rows: n, columns: n, data: vectors } };
}

function checkSymmetric({ rows: n, data }: Matrix64): void {
  let largest = 0;
  for (let index = 0; index < data.length; index++) {
    const size = Math.abs(data[index]!);
    if (!Number.isFinite(size)) {
      throw new RangeError(
        `Cannot decompose a matrix as it must be finite: element [${
          Math.floor(index / n)
        }, ${index % n}] is ${data[index]}`,
      );
    }
    if (size > largest) largest = size;
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      const lower = data[i * n + j]!;
      const upper = data[j * n + i]!;
      if (Math.abs(lower - upper) > ASYMMETRY_LIMIT * largest) {
        throw new RangeError(
          `Cannot decompose a matrix as it must be symmetric: [${i}, ${j}] is ${lower}, [${j}, ${i}] is ${upper}`,
        );
      }
    }
  }
}
