import { assert, assertEquals, assertRejects } from "@std/assert";
import { withSpectrum } from "../../tests/fixtures/spectrum.ts";
import { ShapeError } from "../base/errors.ts";
import { gemm64 } from "./gemm.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";
import { topEigen } from "./top_eigen.ts";

Deno.test("topEigen() gives eigenvectors, the next value and the same result twice", async () => {
  const n = 300;
  const values = Float64Array.from({ length: n }, (_, i) => 2 ** (-i / 8));
  const a = await withSpectrum(values);
  const top = await topEigen(a, 20);
  assertEquals(top.values.length, 21);
  assert(top.products > 1);
  assert(top.missedEnergy < 1e-8);
  const image = await gemm64(a, top.vectors);
  for (let j = 0; j < 20; j++) {
    let largest = 0;
    for (let i = 0; i < n; i++) {
      const x = top.vectors.data[i * 20 + j]!;
      if (Math.abs(x) > Math.abs(largest)) largest = x;
      const error = image.data[i * 20 + j]! - values[j]! * x;
      assert(Math.abs(error) < 1e-4 * values[j]!, `pair ${j} row ${i}`);
    }
    assert(largest > 0, `sign of eigenvector ${j}`);
  }
  assertEquals(await topEigen(a, 20), top);
});

Deno.test("topEigen() is the dense solver where much of the spectrum is asked for", async () => {
  const a = await withSpectrum(Float64Array.of(5, 4, 3, 2, 1, 0.5));
  const { values, vectors, products } = await topEigen(a, 6);
  const dense = symmetricEigen(a);
  assertEquals([values, vectors], [dense.values, dense.vectors]);
  assertEquals(products, 0);
});

Deno.test("topEigen() refuses what it cannot decompose", async () => {
  const wide = { rows: 1, columns: 2, data: new Float64Array(2) };
  await assertRejects(() => topEigen(wide, 1), ShapeError, "square");
  const a = await withSpectrum(Float64Array.of(1, 1));
  await assertRejects(() => topEigen(a, 3), RangeError, "must be 1 to 2");
  const broken = await withSpectrum(new Float64Array(200).fill(1));
  broken.data[0] = NaN;
  await assertRejects(() => topEigen(broken, 2), RangeError, "finite");
  broken.data[0] = Infinity;
  await assertRejects(() => topEigen(broken, 2), RangeError, "finite");
});

Deno.test("topEigen() finds the top of nearly flat spectra", async () => {
  const [n, count] = [420, 40];
  for (const spread of [1e-3, 1e-5, 1e-7, 1e-9]) {
    const values = Float64Array.from(
      { length: n },
      (_, i) => 1 + spread * (n - i) / n,
    );
    const a = await withSpectrum(values);
    const top = await topEigen(a, count);
    const expected = values.subarray(0, count).reduce((x, y) => x + y, 0);
    assert(top.missedEnergy <= 1e-7, `spread ${spread}: ${top.missedEnergy}`);
    // Of the values, and of A in the directions.
    const kept = top.values.subarray(0, count).reduce((x, y) => x + y, 0);
    const { data } = await gemm64(a, top.vectors);
    const energy = data.reduce((s, x, i) => s + x * top.vectors.data[i]!, 0);
    for (const found of [kept, energy]) {
      const missed = Math.abs(found / expected - 1);
      assert(missed <= 1e-7, `spread ${spread}: misses ${missed}`);
    }
  }
});

Deno.test("topEigen() gives the same bits at every power of two", async () => {
  for (const [n, count] of [[300, 20], [40, 30]] as const) {
    const a = await withSpectrum(
      Float64Array.from({ length: n }, (_, i) => 1 / (1 + i)),
    );
    const expected = await topEigen(a, count);
    for (const exponent of [-900, -565, -150, 150, 664, 1000]) {
      const scale = 2 ** exponent;
      const scaled = { ...a, data: a.data.map((x) => x * scale) };
      const top = await topEigen(scaled, count);
      const values = top.values.map((value) => value / scale);
      assertEquals({ ...top, values }, expected, `2^${exponent}`);
    }
  }
});
