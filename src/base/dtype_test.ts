import { assertEquals, assertThrows } from "@std/assert";
import { type DType, DTYPE_BYTES, fromFloat32, toFloat32 } from "./dtype.ts";

const DTYPES = Object.keys(DTYPE_BYTES) as DType[];

Deno.test("toFloat32() undoes fromFloat32() for values that the dtype holds", () => {
  const values = Float32Array.of(0, 1, -2.5, 0.15625, 240, -0, Infinity);
  for (const dtype of DTYPES) {
    const bytes = fromFloat32(values, dtype);
    assertEquals(bytes.length, values.length * DTYPE_BYTES[dtype]);
    const back = toFloat32(bytes, dtype);
    assertEquals(back, values);
    assertEquals(Object.is(back[5], -0), true, `${dtype} keeps the sign of -0`);
  }
});

Deno.test("fromFloat32() rounds bf16 to nearest even", () => {
  const words = (value: number) =>
    new Uint16Array(fromFloat32(Float32Array.of(value), "bf16").buffer)[0];
  assertEquals(words(1), 0x3f80);
  // Halfway between 0x3f80 and 0x3f81, and between 0x3f81 and 0x3f82.
  assertEquals(words(1 + 2 ** -8), 0x3f80);
  assertEquals(words(1 + 3 * 2 ** -8), 0x3f82);
  assertEquals(words(1 + 2 ** -8 + 2 ** -20), 0x3f81);
  assertEquals(words(-(1 + 2 ** -8)), 0xbf80);
});

Deno.test("fromFloat32() rounds bf16's largest values to infinity and keeps NaN", () => {
  const back = toFloat32(
    fromFloat32(Float32Array.of(3.4028234663852886e38, NaN, -Infinity), "bf16"),
    "bf16",
  );
  assertEquals(back, Float32Array.of(Infinity, NaN, -Infinity));
});

Deno.test("fromFloat32() keeps a NaN whose payload is in the low half", () => {
  const values = new Float32Array(Uint32Array.of(0x7f800001).buffer);
  assertEquals(
    Number.isNaN(toFloat32(fromFloat32(values, "bf16"), "bf16")[0]),
    true,
  );
});

Deno.test("toFloat32() reads f16 subnormals and its largest value", () => {
  const bytes = new Uint8Array(Uint16Array.of(0x0001, 0x7bff, 0xfc00).buffer);
  assertEquals(
    toFloat32(bytes, "f16"),
    Float32Array.of(2 ** -24, 65504, -Infinity),
  );
});

Deno.test("toFloat32() views aligned f32 bytes and copies unaligned ones", () => {
  const buffer = new ArrayBuffer(12);
  new Float32Array(buffer).set([1, 2, 3]);
  const view = toFloat32(new Uint8Array(buffer, 4), "f32");
  assertEquals(view.buffer, buffer);
  assertEquals(view, Float32Array.of(2, 3));

  const shifted = new Uint8Array(9);
  shifted.set(new Uint8Array(Float32Array.of(5, 6).buffer), 1);
  for (const dtype of ["f32", "f16", "bf16", "f64"] as const) {
    const bytes = fromFloat32(Float32Array.of(5), dtype);
    const unaligned = new Uint8Array(bytes.length + 1);
    unaligned.set(bytes, 1);
    assertEquals(toFloat32(unaligned.subarray(1), dtype), Float32Array.of(5));
  }
});

Deno.test("toFloat32() refuses a partial element", () => {
  assertThrows(
    () => toFloat32(new Uint8Array(3), "bf16"),
    RangeError,
    "must be a multiple of 2: current value is 3",
  );
});
