// A cache that is larger than its layers' sizes say must be caught, whatever
// the reason: wider rows, more rows.

import { assertEquals, assertRejects } from "@std/assert";
import type { Session } from "../src/engine/engine.ts";
import { liveBytes } from "../src/engine/live_bytes.ts";
import { KvCache } from "../src/engine/onnx/kv_cache.ts";
import { measureCache } from "../src/evaluation/cache_bytes.ts";

const THEORY = {
  elementsByLayer: [3],
  elementsPerTokenPerLayer: 3,
  bytesPerToken: 12,
};

/** A session whose cache is made too large, and which reports it as engines do. */
function session(too: { wide?: number; long?: number }): Session {
  let cache: KvCache;
  let asked = 0;
  return {
    prefill([tokens]: readonly Int32Array[], reserve = 0) {
      asked = tokens!.length + reserve;
      const parts = [2, 1].map((width, i) => ({
        layer: 0,
        part: i === 0 ? "first" as const : "second" as const,
        name: String(i),
        input: `past.${i}`,
        width: width * (too.wide ?? 1),
      }));
      cache = new KvCache(parts, 1, asked * (too.long ?? 1));
      cache.grow(tokens!.length);
      return Promise.resolve();
    },
    cache: () => ({
      tokens: cache.tokens,
      batch: 1,
      bytes: liveBytes(cache.buffers, cache.tokens, asked),
    }),
  } as unknown as Session;
}

Deno.test("measureCache() catches a cache with too wide or too many rows", async () => {
  const tokens = new Int32Array(10);
  const measured = await measureCache(session({}), THEORY, tokens);
  assertEquals(measured.measuredBytes, 120);
  for (const too of [{ wide: 10 }, { long: 10 }]) {
    await assertRejects(
      () => measureCache(session(too), THEORY, tokens),
      RangeError,
      "current value is 1200",
    );
  }
});
