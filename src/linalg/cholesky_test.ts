import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Matrix64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { cholesky, lowerInverse } from "./cholesky.ts";
import { gemm64 } from "./gemm.ts";
import { seededNoise } from "./orthonormal.ts";

/** X X^T of seeded X `[n, rank]`. */
async function semidefinite(n: number, rank: number): Promise<Matrix64> {
  const data = Float64Array.from({ length: n * rank }, seededNoise(n));
  const x = { rows: n, columns: rank, data };
  return await gemm64(x, x, { transB: true });
}

function largestDifference(a: Matrix64, b: Matrix64): number {
  return a.data.reduce(
    (worst, value, i) => Math.max(worst, Math.abs(value - b.data[i]!)),
    0,
  );
}

Deno.test("cholesky() gives a lower factor with A = L L^T at sizes around its blocks", async () => {
  for (const n of [1, 2, 63, 64, 65, 200, 700]) {
    const a = await semidefinite(n, n + 5);
    const factor = await cholesky(a);
    assert(factor !== undefined, `n = ${n}`);
    for (let i = 0; i < n; i++) {
      for (let j = i + 1; j < n; j++) assertEquals(factor.data[i * n + j], 0);
    }
    const product = await gemm64(factor, factor, { transB: true });
    assert(largestDifference(product, a) < 1e-13 * n, `n = ${n}`);
    const inverse = lowerInverse(factor);
    const { data } = await gemm64(inverse, factor);
    for (let i = 0; i < n; i++) {
      assert(Math.abs(data[i * n + i]! - 1) < 1e-9, `n = ${n}, ${i}`);
    }
  }
});

Deno.test("cholesky() needs a shift for a singular matrix, and keeps zero channels zero", async () => {
  const n = 90;
  const a = await semidefinite(n, 40);
  for (let i = 0; i < n; i++) {
    a.data[3 * n + i] = 0;
    a.data[i * n + 3] = 0;
  }
  assertEquals(await cholesky(a), undefined);
  const factor = await cholesky(a, 1e-12);
  assert(factor !== undefined);
  const product = await gemm64(factor, factor, { transB: true });
  assert(largestDifference(product, a) < 1e-10);
  assertEquals(factor.data.subarray(3 * n, 4 * n), new Float64Array(n));
});

Deno.test("cholesky() refuses what is not square, and finds no factor of NaN", async () => {
  const wide = { rows: 1, columns: 2, data: new Float64Array(2) };
  await assertRejects(() => cholesky(wide), ShapeError, "square");
  const broken = { rows: 1, columns: 1, data: Float64Array.of(NaN) };
  assertEquals(await cholesky(broken, 1), undefined);
});
