import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Matrix64 } from "../base/tensor.ts";
import { balancedGram, jointPca, jointSpectrum } from "./joint_pca.ts";

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
