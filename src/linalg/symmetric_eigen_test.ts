import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Matrix64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";

/** A symmetric matrix of deterministic numbers in [-1, 1]. */
function symmetric(n: number): Matrix64 {
  const data = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const value = Math.sin(1 + 7 * i + 13 * j * j);
      data[i * n + j] = value;
      data[j * n + i] = value;
    }
  }
  return { rows: n, columns: n, data };
}

Deno.test("symmetricEigen() gives A V = V diag(values), orthonormal V and descending values", () => {
  for (const n of [1, 2, 5, 40]) {
    const a = symmetric(n);
    const { values, vectors } = symmetricEigen(a);
    const v = (i: number, j: number) => vectors.data[i * n + j]!;
    for (let p = 0; p < n; p++) {
      if (p > 0) assert(values[p - 1]! >= values[p]!);
      for (let i = 0; i < n; i++) {
        let product = 0;
        for (let k = 0; k < n; k++) product += a.data[i * n + k]! * v(k, p);
        assert(Math.abs(product - values[p]! * v(i, p)) < 1e-12 * n);
      }
      for (let q = 0; q <= p; q++) {
        let dot = 0;
        for (let k = 0; k < n; k++) dot += v(k, p) * v(k, q);
        assert(Math.abs(dot - (p === q ? 1 : 0)) < 1e-13 * n);
      }
    }
  }
});

Deno.test("symmetricEigen() fixes signs: the largest component is positive", () => {
  const n = 12;
  const { vectors } = symmetricEigen(symmetric(n));
  for (let p = 0; p < n; p++) {
    const column = Array.from(
      { length: n },
      (_, i) => vectors.data[i * n + p]!,
    );
    const largest = column.reduce((a, b) => Math.abs(b) > Math.abs(a) ? b : a);
    assert(largest > 0);
  }
});

Deno.test("symmetricEigen() leaves its input as it was", () => {
  const a = symmetric(6);
  const before = a.data.slice();
  symmetricEigen(a);
  assertEquals(a.data, before);
});

Deno.test("symmetricEigen() refuses what is not square, symmetric and finite", () => {
  assertThrows(
    () => symmetricEigen({ rows: 1, columns: 2, data: new Float64Array(2) }),
    ShapeError,
    "must be square",
  );
  const skew = symmetric(3);
  skew.data[1] = 5;
  assertThrows(() => symmetricEigen(skew), RangeError, "must be symmetric");
  const broken = symmetric(3);
  broken.data[4] = NaN;
  assertThrows(() => symmetricEigen(broken), RangeError, "[1, 1] is NaN");
});
