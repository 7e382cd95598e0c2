import { assertEquals, assertRejects } from "@std/assert";
import { ShapeError } from "../base/errors.ts";
import { type Matrix64, zeros64 } from "../base/tensor.ts";
import { gemm32, gemm64 } from "./gemm.ts";

/** Small whole numbers, so that sums are exact in both types. */
function wholeNumbers(rows: number, columns: number, seed: number): Matrix64 {
  const result = zeros64(rows, columns);
  let state = seed;
  for (let i = 0; i < result.data.length; i++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    result.data[i] = state % 7 - 3;
  }
  return result;
}

function transposed(a: Matrix64): Matrix64 {
  const result = zeros64(a.columns, a.rows);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < a.columns; j++) {
      result.data[j * a.rows + i] = a.data[i * a.columns + j]!;
    }
  }
  return result;
}

function product(a: Matrix64, b: Matrix64): Float64Array {
  const result = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.columns; j++) {
      for (let k = 0; k < a.columns; k++) {
        result[i * b.columns + j]! += a.data[i * a.columns + k]! *
          b.data[k * b.columns + j]!;
      }
    }
  }
  return result;
}

const FORMS = [
  { transA: false, transB: false },
  { transA: false, transB: true },
  { transA: true, transB: false },
  { transA: true, transB: true },
] as const;

// The second triple is above the limit of the plain loop.
const SIZES = [[3, 5, 4], [37, 41, 53]] as const;

Deno.test("gemm64() and gemm32() equal a triple loop in every form", async () => {
  for (const [m, k, n] of SIZES) {
    const a = wholeNumbers(m, k, 1);
    const b = wholeNumbers(k, n, 2);
    const expected = product(a, b);
    for (const options of FORMS) {
      const left = options.transA ? transposed(a) : a;
      const right = options.transB ? transposed(b) : b;
      const c64 = await gemm64(left, right, options);
      assertEquals([c64.rows, c64.columns], [m, n]);
      assertEquals(c64.data, expected);
      const c32 = await gemm32(
        {
          shape: [left.rows, left.columns],
          data: Float32Array.from(left.data),
        },
        {
          shape: [right.rows, right.columns],
          data: Float32Array.from(right.data),
        },
        options,
      );
      assertEquals(c32.shape, [m, n]);
      assertEquals(Float64Array.from(c32.data), expected);
    }
  }
});

Deno.test("gemm64() refuses unequal inner axes", async () => {
  await assertRejects(
    () => gemm64(zeros64(2, 3), zeros64(2, 3)),
    ShapeError,
    "Cannot multiply [2, 3] by [2, 3] as the inner axes must be equal",
  );
});
