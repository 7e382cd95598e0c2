import { assert, assertEquals, assertThrows } from "@std/assert";
import { mix, seededNumbers, seededTensor } from "./seeded_tensor.ts";
import { elementsOf } from "./tensor.ts";

Deno.test("mix() is lowbias32: known values, and equal inputs as u32 or i32 give equal ones", () => {
  // Computed with 64-bit integers, apart from this implementation.
  assertEquals([0, 1, 2, 0xffffffff].map((value) => mix(value) >>> 0), [
    0,
    0x688990c0,
    0xd1132181,
    0x6768824a,
  ]);
  assertEquals(mix(-1), mix(0xffffffff));
});

Deno.test("seededNumbers() is uniform in [-scale, scale)", () => {
  const count = 200_000;
  const scale = 0.75;
  const numbers = seededNumbers({ seed: 7, scale, first: 0 }, count);
  const bins = new Float64Array(20);
  let square = 0;
  for (const value of numbers) {
    assert(value >= -scale && value < scale, `${value}`);
    bins[Math.floor((value / scale + 1) * 10)]!++;
    square += value * value;
  }
  // Five standard deviations of a bin's count.
  const expected = count / 20;
  for (const [i, bin] of bins.entries()) {
    assert(
      Math.abs(bin - expected) < 5 * Math.sqrt(expected),
      `bin ${i} has ${bin} of ${expected}`,
    );
  }
  const variance = square / count;
  assert(Math.abs(variance / (scale ** 2 / 3) - 1) < 0.01, `${variance}`);
});

Deno.test("seededNumbers() from a later index are the later numbers, past 2^32 again from 0", () => {
  const seeded = { seed: 0xfffffff0, scale: 1, first: 0 };
  const all = seededNumbers(seeded, 100);
  assertEquals(
    seededNumbers({ ...seeded, first: 37 }, 63),
    all.subarray(37),
  );
  const wrapped = seededNumbers({ ...seeded, first: 2 ** 32 - 5 }, 105);
  assertEquals(wrapped.subarray(5), all);
});

Deno.test("seededNumbers() of neighboring seeds have nothing in common", () => {
  const count = 1000;
  const a = seededNumbers({ seed: 1, scale: 1, first: 0 }, count);
  for (const seed of [0, 2, 3]) {
    const b = seededNumbers({ seed, scale: 1, first: 0 }, count);
    let product = 0;
    for (let lag = 0; lag < 4; lag++) {
      for (let i = 0; i + lag < count; i++) product += a[i]! * b[i + lag]!;
      assert(Math.abs(product / count) < 0.1, `seed ${seed}, lag ${lag}`);
      product = 0;
    }
    assert(a.every((value, i) => value !== b[i]));
  }
});

Deno.test("seededTensor() makes its numbers when they are first read, once", () => {
  // Far more than memory: only the shape is looked at.
  assertEquals(elementsOf(seededTensor([65536, 65536], 1, 1)), 2 ** 32);
  const tensor = seededTensor([3, 5], 9, 0.3);
  assertEquals(tensor.seeded.scale, Math.fround(0.3));
  assertEquals(tensor.data, seededNumbers(tensor.seeded, 15));
  assert(tensor.data === tensor.data, "made twice");
});

Deno.test("seededTensor() refuses seeds that are no u32 and too many elements", () => {
  assertThrows(
    () => seededTensor([2], -1, 1),
    RangeError,
    "seed must be an integer in 0..4294967295: current value is -1",
  );
  assertThrows(() => seededTensor([2], 0.5, 1), RangeError, "value is 0.5");
  assertThrows(
    () => seededTensor([65536, 65537], 1, 1),
    RangeError,
    "its elements must be <= 4294967296: current value is 4295032832",
  );
});
