import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Matrix64 } from "../base/tensor.ts";
import { gemm64 } from "../linalg/gemm.ts";
import { seededNoise } from "../linalg/orthonormal.ts";
import {
  balancedGram,
  DENSE_WIDTH,
  directionsFor,
  factoredSpectrum,
  jointPca,
  jointSpectrum,
} from "./joint_pca.ts";

Deno.test("balancedGram() drops m dims and divides key rows and columns", () => {
  const data = Float64Array.from({ length: 16 }, (_, i) => i);
  const gram: Matrix64 = { rows: 4, columns: 4, data };
  const balanced = balancedGram(gram, 1, 2);
  assertEquals(balanced.rows, 3);
  assertEquals([...balanced.data], [5 / 4, 3, 3.5, 4.5, 10, 11, 6.5, 14, 15]);
});

Deno.test("jointPca() reports what a rank keeps", async () => {
  const gram: Matrix64 = {
    rows: 3,
    columns: 3,
    data: Float64Array.of(1, 0, 0, 0, 6, 0, 0, 0, 3),
  };
  const spectrum = await jointSpectrum(gram);
  const cut = jointPca(spectrum, 2);
  assertEquals([...cut.directions.data].map(Math.abs), [0, 0, 1, 0, 0, 1]);
  assertAlmostEquals(cut.keptEnergy, 0.9);
  assertAlmostEquals(cut.totalEnergy, 10);
  assertAlmostEquals(cut.eigenvalueKept, 3);
  assertAlmostEquals(cut.eigenvalueDropped ?? NaN, 1);
  const whole = jointPca(spectrum, 3);
  assertAlmostEquals(whole.keptEnergy, 1);
  assert(!("eigenvalueDropped" in whole));
});

Deno.test("factoredSpectrum() keeps what the dense spectrum of C C^T keeps", async () => {
  const [rows, columns] = [400, 240];
  const noise = seededNoise(3);
  for (const rank of [240, 12]) {
    const left = Float64Array.from(
      { length: rows * rank },
      (_, i) => noise() / (1 + i % rank),
    );
    const right = Float64Array.from({ length: rank * columns }, noise);
    const factor = await gemm64(
      { rows, columns: rank, data: left },
      { rows: rank, columns, data: right },
    );
    const gram = await gemm64(factor, factor, { transB: true });
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < i; j++) {
        gram.data[j * rows + i] = gram.data[i * rows + j]!;
      }
    }
    const dense = await jointSpectrum(gram);
    // 250 is more than the columns, 16 more than the lower rank.
    for (const directions of [16, 40, 250]) {
      const spectrum = await factoredSpectrum(factor, directions);
      const found = jointPca(spectrum, directions);
      const expected = jointPca(dense, directions);
      assertAlmostEquals(found.totalEnergy / expected.totalEnergy, 1, 1e-12);
      assertAlmostEquals(found.keptEnergy / expected.keptEnergy, 1, 1e-9);
      assertAlmostEquals(
        await energyIn(factor, found.directions) / found.totalEnergy,
        found.keptEnergy,
        1e-9,
        `rank ${rank}, ${directions} directions`,
      );
    }
  }
});

/** |C^T R|^2: for orthonormal R, the energy that R keeps. */
async function energyIn(
  factor: Matrix64,
  directions: Matrix64,
): Promise<number> {
  const { data } = await gemm64(directions, directions, { transA: true });
  data.forEach((value, i) => {
    const onDiagonal = i % directions.columns ===
      Math.floor(i / directions.columns);
    assertAlmostEquals(value, onDiagonal ? 1 : 0, 1e-12);
  });
  const images = await gemm64(factor, directions, { transA: true });
  return images.data.reduce((sum, value) => sum + value * value, 0);
}

Deno.test("directionsFor() is the whole width of narrow layers, else the rank's own step", () => {
  assertEquals(directionsFor(7, DENSE_WIDTH), DENSE_WIDTH);
  assertEquals(directionsFor(385, 8128), 512);
  assertEquals(directionsFor(512, 8128), 512);
  assertEquals(directionsFor(8100, 8128), 8128);
});
