import { assertEquals } from "@std/assert";
import { KvCache } from "./kv_cache.ts";

const PARTS = [
  { layer: 0, part: "first", name: "a", input: "past.a", width: 2 },
  { layer: 0, part: "second", name: "b", input: "past.b", width: 1 },
] as const;

Deno.test("KvCache.buffers are exactly as large as its parts and capacity", () => {
  const { buffers } = new KvCache(PARTS, 3, 10);
  assertEquals(
    buffers.map(({ buffer }) => buffer.byteLength),
    [10 * 3 * 2 * 4, 10 * 3 * 1 * 4],
  );
});

Deno.test("KvCache.store() places some sequences between the others", () => {
  const cache = new KvCache(PARTS, 3, 3);
  // [tokens, sequences, width]
  cache.store(0, Float32Array.of(1, 2, 3, 4), {
    token: 0,
    sequence: 1,
    sequences: 1,
  });
  cache.store(0, Float32Array.of(5, 6, 7, 8, 9, 10, 11, 12), {
    token: 0,
    sequence: 1,
    sequences: 2,
  });
  cache.grow(2);
  assertEquals(
    [...cache.view(0)],
    [0, 0, 5, 6, 7, 8, 0, 0, 9, 10, 11, 12],
  );
  cache.store(1, Float32Array.of(1, 2, 3), {
    token: 2,
    sequence: 0,
    sequences: 3,
  });
  cache.grow(1);
  assertEquals([...cache.view(1)], [0, 0, 0, 0, 0, 0, 1, 2, 3]);
});
