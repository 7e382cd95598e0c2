import { assert } from "@std/assert";
import { withSpectrum } from "../../tests/fixtures/spectrum.ts";
import type { Matrix64 } from "../base/tensor.ts";
import { gemm64 } from "./gemm.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";
import { topEigen } from "./top_eigen.ts";

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
