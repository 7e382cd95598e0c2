import { assertEquals, assertRejects } from "@std/assert";
import type { Session } from "../engine/engine.ts";
import { measureCache } from "./cache_bytes.ts";

const THEORY = {
  elementsByLayer: [3, 5],
  elementsPerTokenPerLayer: 4,
  bytesPerToken: 32,
};

function session(bytes: number): Session {
  let tokens = 0;
  return {
    prefill(sequences: readonly Int32Array[]) {
      tokens = sequences[0]!.length;
      return Promise.resolve();
    },
    cache: () => ({ tokens, batch: 1, bytes }),
  } as unknown as Session;
}

Deno.test("measureCache() accepts a cache of exactly its theory", async () => {
  const measured = await measureCache(session(320), THEORY, new Int32Array(10));
  assertEquals(measured, { ...THEORY, measuredBytes: 320, measuredTokens: 10 });
});

Deno.test("measureCache() refuses a cache that does not shrink", async () => {
  await assertRejects(
    () => measureCache(session(321), THEORY, new Int32Array(10)),
    RangeError,
    "must take <= 320 bytes (32 a token, slack 0): current value is 321",
  );
  await measureCache(session(321), THEORY, new Int32Array(10), 1);
  await assertRejects(
    () => measureCache(session(0), THEORY, new Int32Array(10)),
    RangeError,
  );
});
