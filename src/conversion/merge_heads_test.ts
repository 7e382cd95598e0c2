import { assertEquals, assertThrows } from "@std/assert";
import { tensor } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { affineMatrix, keyValueHeadOf, linearOf } from "./merge_heads.ts";

Deno.test("keyValueHeadOf() gives floor(h G / H)", () => {
  const heads = (H: number, G: number) =>
    Array.from({ length: H }, (_, h) => keyValueHeadOf(h, H, G));
  assertEquals(heads(4, 4), [0, 1, 2, 3]);
  assertEquals(heads(9, 3), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
});

Deno.test("affineMatrix() appends the bias, linearOf() takes it off again", () => {
  const weight = tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
  const bias = tensor(Float32Array.of(7, 8), [2]);
  const affine = affineMatrix({ weight, bias });
  assertEquals([...affine.data], [1, 2, 3, 7, 4, 5, 6, 8]);
  assertEquals(linearOf(affine, true), { weight, bias });
  assertEquals([...affineMatrix({ weight }).data], [1, 2, 3, 0, 4, 5, 6, 0]);
  assertEquals(linearOf(affineMatrix({ weight }), false), { weight });
});

Deno.test("affineMatrix() refuses a bias of another length", () => {
  const weight = tensor(new Float32Array(6), [2, 3]);
  const bias = tensor(new Float32Array(3), [3]);
  assertThrows(() => affineMatrix({ weight, bias }), ShapeError, "2 elements");
});
