import { assertAlmostEquals, assertEquals } from "@std/assert";
import { predictionDivergence } from "./prediction_divergence.ts";

Deno.test("predictionDivergence() is the sum of p log p/q over two tokens", () => {
  // p = (3/4, 1/4), q = (1/2, 1/2): 3/4 ln 3/2 + 1/4 ln 1/2.
  const original = Float64Array.of(9, Math.log(3) + 5, 5);
  const other = Float64Array.of(-9, 2, 2);
  const { kl, agrees } = predictionDivergence(original, other, 1, 2);
  assertAlmostEquals(kl, 0.130812035941, 1e-12);
  // Of equals the first is taken.
  assertEquals(agrees, true);
  const reversed = predictionDivergence(
    Float64Array.of(2, 2),
    Float64Array.of(1, 1 + Math.log(3)),
    0,
    2,
  );
  // 1/2 ln (1/2)/(1/4) + 1/2 ln (1/2)/(3/4)
  assertAlmostEquals(reversed.kl, 0.143841036226, 1e-12);
  assertEquals(reversed.agrees, false);
});

Deno.test("predictionDivergence() of a row from itself is 0, also where a token is ruled out", () => {
  const row = Float64Array.of(700, -Infinity, 650, 0);
  assertEquals(predictionDivergence(row, row, 0, 4), { kl: 0, agrees: true });
});
