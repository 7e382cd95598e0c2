import { assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "./errors.ts";
import { tensor, toMatrix64, toTensor, zeros64 } from "./tensor.ts";

Deno.test("tensor() keeps the data without a copy", () => {
  const data = Float32Array.of(1, 2, 3, 4, 5, 6);
  const made = tensor(data, [2, 3]);
  assertEquals(made.data === data, true);
  assertEquals(made.shape, [2, 3]);
  assertEquals(tensor(Float32Array.of(7), []).shape, []);
  assertEquals(tensor(new Float32Array(0), [0, 5]).data.length, 0);
});

Deno.test("tensor() refuses a shape of another size", () => {
  assertThrows(
    () => tensor(new Float32Array(5), [2, 3]),
    ShapeError,
    "shape [2,3] must have 5 elements: current value is 6",
  );
});

Deno.test("toMatrix64() and toTensor() are each other's inverse on f32 values", () => {
  const made = tensor(Float32Array.of(1, 0.1, -3, 4, 5, 6), [3, 2]);
  const wide = toMatrix64(made);
  assertEquals([wide.rows, wide.columns], [3, 2]);
  assertEquals(wide.data[1], Math.fround(0.1));
  assertEquals(toTensor(wide), made);
});

Deno.test("toMatrix64() refuses other than two axes", () => {
  assertThrows(
    () => toMatrix64(tensor(new Float32Array(8), [2, 2, 2])),
    ShapeError,
    "must have 2 axes: current shape is [2,2,2]",
  );
});

Deno.test("zeros64() has rows times columns zeros", () => {
  assertEquals(zeros64(2, 3), {
    rows: 2,
    columns: 3,
    data: new Float64Array(6),
  });
});
