import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { cutWindows, meanAndStderr, pairedDelta } from "./perplexity.ts";

Deno.test("cutWindows() cuts whole windows within the budget", () => {
  const ids = Int32Array.from({ length: 23 }, (_, i) => i);
  assertEquals(cutWindows(ids, 5, "all").length, 4);
  assertEquals(cutWindows(ids, 5, 14).map((w) => w[0]), [0, 5]);
  assertThrows(() => cutWindows(ids, 24, "all"), RangeError, "24 tokens");
  assertThrows(() => cutWindows(ids, 5, 4), RangeError, "current value is 4");
});

Deno.test("meanAndStderr() divides by n - 1", () => {
  const { mean, stderr } = meanAndStderr([1, 2, 3, 4]);
  assertAlmostEquals(mean, 2.5);
  assertAlmostEquals(stderr, Math.sqrt(5 / 3 / 4));
  assertEquals(meanAndStderr([7]), { mean: 7, stderr: 0 });
});

Deno.test("pairedDelta() pairs: a constant shift has an interval of width 0", () => {
  const base = [3, 1, 4, 1.5];
  const delta = pairedDelta(base.map((v) => v + 0.25), base);
  assertAlmostEquals(delta.deltaNll, 0.25);
  assertAlmostEquals(delta.deltaNllCi95![0], 0.25, 1e-12);
  assertAlmostEquals(delta.deltaNllCi95![1], 0.25, 1e-12);
});

Deno.test("pairedDelta() uses Student's t", () => {
  // Differences 0, 1: mean 0.5, standard error 0.5, t(1) = 12.706.
  const { deltaNllCi95 } = pairedDelta([1, 3], [1, 2]);
  assertAlmostEquals(deltaNllCi95![0], 0.5 - 12.7062 * 0.5, 1e-4);
  assertAlmostEquals(deltaNllCi95![1], 0.5 + 12.7062 * 0.5, 1e-4);
  assertEquals("deltaNllCi95" in pairedDelta([1], [2]), false);
  assertThrows(() => pairedDelta([1], [1, 2]), RangeError, "1 and 2");
});
