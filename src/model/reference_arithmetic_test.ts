import { assertAlmostEquals, assertEquals } from "@std/assert";
import { assertClose } from "../../tests/fixtures/assert_close.ts";
import { tensor } from "../base/tensor.ts";
import {
  applyLinear,
  dot,
  logSumExp,
  rmsNorm,
  silu,
} from "./reference_arithmetic.ts";

Deno.test("dot() sums runs of every length", () => {
  const a = Float64Array.from({ length: 12 }, (_, i) => i + 1);
  const b = Float32Array.from({ length: 12 }, (_, i) => 2 * i - 3);
  for (let length = 0; length <= 9; length++) {
    let expected = 0;
    for (let i = 0; i < length; i++) expected += a[i + 2]! * b[i + 1]!;
    assertEquals(dot(a, 2, b, 1, length), expected);
  }
});

Deno.test("applyLinear() is W x + b for every number of rows", () => {
  const weight = tensor(Float32Array.of(1, 2, 3, -1, 0.5, 4), [2, 3]);
  const bias = tensor(Float32Array.of(10, -20), [2]);
  for (let rows = 1; rows <= 9; rows++) {
    const x = Float64Array.from({ length: rows * 3 }, (_, i) => i * i - 4);
    const expected: number[] = [];
    for (let t = 0; t < rows; t++) {
      const [a, b, c] = [x[3 * t]!, x[3 * t + 1]!, x[3 * t + 2]!];
      expected.push(a + 2 * b + 3 * c + 10, -a + 0.5 * b + 4 * c - 20);
    }
    assertEquals([...applyLinear(x, rows, { weight, bias })], expected);
  }
});

Deno.test("rmsNorm() makes rows of unit mean square, then weighs them", () => {
  const weight = tensor(Float32Array.of(1, -2), [2]);
  const y = rmsNorm(Float64Array.of(3, 4, 0, 0), weight, 0.5);
  const scale = 1 / Math.sqrt(12.5 + 0.5);
  assertClose(y, [3 * scale, -8 * scale, 0, 0], { atol: 1e-15, what: "y" });
});

Deno.test("silu() is x times the logistic function, without overflow", () => {
  assertAlmostEquals(silu(1), 1 / (1 + Math.exp(-1)), 1e-15);
  assertEquals(silu(0), 0);
  assertEquals(Math.abs(silu(-1000)), 0);
  assertEquals(silu(1000), 1000);
});

Deno.test("logSumExp() survives large numbers", () => {
  const x = Float64Array.of(NaN, 1000, 1001, NaN);
  const expected = 1000 + Math.log(1 + Math.E);
  assertAlmostEquals(logSumExp(x, 1, 2), expected, 1e-12);
});
