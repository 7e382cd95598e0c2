import { assertAlmostEquals, assertEquals } from "@std/assert";
import { rooflineOf } from "./roofline.ts";

Deno.test("rooflineOf() moves weights once and each sequence's cache", () => {
  const roofline = rooflineOf({
    weightBytes: 1000,
    cacheBytesPerToken: 10,
    batchSize: 4,
    contextTokens: 50,
    copyBytesPerSecond: 6000,
    decodeTokensPerSecond: 6,
  });
  assertEquals(roofline.stepBytes, 3000);
  // 2 steps a second, of 4 tokens.
  assertEquals(roofline.tokensPerSecond, 8);
  assertAlmostEquals(roofline.fraction, 0.75);
});
