import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Matrix64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { gemm64 } from "./gemm.ts";
import { orthonormalized, seededNoise } from "./orthonormal.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";
import { topEigen } from "./top_eigen.ts";

/** Q diag(values) Q^T with a seeded Q, exactly symmetric. */
async function withSpectrum(values: Float64Array): Promise<Matrix64> {
  const n = values.length;
  const noise = seededNoise(7);
  const data = Float64Array.from({ length: n * n }, noise);
  const q = await orthonormalized({ rows: n, columns: n, data }, noise);
  const half = q.data.map((value, i) => value * Math.sqrt(values[i % n]!));
  const root = { rows: n, columns: n, data: half };
  const a = await gemm64(root, root, { transB: true });
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) a.data[j * n + i] = a.data[i * n + j]!;
  }
  return a;
}

/** The i-th eigenvalue of n of which r are asked for. */
type Spectrum = (i: number, n: number, r: number) => number;

const SPECTRA: Readonly<Record<string, Spectrum>> = {
  "falling as 1/i": (i) => 1 / (i + 1),
  "falling as exp": (i) => Math.exp(-i / 20),
  "falling below rounding": (i) => Math.exp(-i),
  "falling slowly": (i, n) => 1 - i / n,
  "of white noise": (i, n) => (1 - Math.sqrt(i / n)) ** 2,
  "with one direction a million times the rest": (i) =>
    i === 0 ? 1e6 : (i + 1) ** -0.5,
  "flat": () => 1,
  "zero": () => 0,
  "of lower rank than asked for": (i, _, r) => i < r / 2 ? 1 / (i + 1) : 0,
  "with a step at the cut": (i, _, r) => i < r ? 1 : 1e-3,
  "clustered around the cut": (i, _, r) =>
    i < r - 10 ? 10 - i / r : i < r + 60 ? 1 + 1e-6 * Math.cos(i) : 0.1,
};

Deno.test("topEigen() keeps the dense solver's energy whatever the spectrum", async () => {
  for (const [n, r] of [[320, 40], [600, 64]] as const) {
    for (const [name, spectrum] of Object.entries(SPECTRA)) {
      const values = Float64Array.from(
        { length: n },
        (_, i) => spectrum(i, n, r),
      );
      const a = await withSpectrum(values);
      const { values: dense } = symmetricEigen(a);
      const top = await topEigen(a, r);
      const kept = sum(top.values, r);
      const expected = sum(dense, r);
      assert(
        Math.abs(kept - expected) <= 1e-8 * Math.abs(expected) + 1e-15,
        `${name}, n = ${n}: ${kept} of ${expected}`,
      );
      // The energy in the directions is what the values say.
      const energy = await energyIn(a, top.vectors);
      assert(Math.abs(energy - kept) <= 1e-12 * (kept + 1), name);
      assert(await distanceFromOrthonormal(top.vectors) < 1e-12, name);
    }
  }
});

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
});

function sum(values: Float64Array, count: number): number {
  return values.subarray(0, count).reduce((a, b) => a + b, 0);
}

/** trace(V^T A V). */
async function energyIn(a: Matrix64, vectors: Matrix64): Promise<number> {
  const { data } = await gemm64(a, vectors);
  return data.reduce((total, x, i) => total + x * vectors.data[i]!, 0);
}

async function distanceFromOrthonormal(x: Matrix64): Promise<number> {
  const { rows: n, data } = await gemm64(x, x, { transA: true });
  const errors = data.map((value, i) =>
    Math.abs(value - (i % n === Math.floor(i / n) ? 1 : 0))
  );
  return errors.reduce((a, b) => Math.max(a, b), 0);
}
