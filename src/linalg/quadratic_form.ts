// W S W^T: how a Gram matrix of h becomes that of any linear map of h.

import type { Matrix64 } from "../base/tensor.ts";
import { gemm64 } from "./gemm.ts";

/**
 * W S W^T for a symmetric S, exactly symmetric in the result.
 *
 * @param w `[k, n]`
 * @param s `[n, n]`, symmetric.
 * @returns `[k, k]`
 */
export async function quadraticForm(
  w: Matrix64,
  s: Matrix64,
): Promise<Matrix64> {
  return symmetrized(await gemm64(await gemm64(w, s), w, { transB: true }));
}

/** (A + A^T) / 2, in place: rounding leaves products symmetric only to 1e-16. */
function symmetrized(a: Matrix64): Matrix64 {
  const { rows: n, data } = a;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      const mean = (data[i * n + j]! + data[j * n + i]!) / 2;
      data[i * n + j] = mean;
      data[j * n + i] = mean;
    }
  }
  return a;
}
