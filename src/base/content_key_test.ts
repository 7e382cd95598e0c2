import {
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { contentKey } from "./content_key.ts";

Deno.test("contentKey() does not depend on the order of fields or on absent ones", () => {
  const key = contentKey({ a: 1, b: ["x", null, true] });
  assertMatch(key, /^[0-9a-f]{64}$/);
  assertEquals(contentKey({ b: ["x", null, true], c: undefined, a: 1 }), key);
  for (
    const other of [
      { a: 2, b: ["x", null, true] },
      { a: "1", b: ["x", null, true] },
      { a: 1, b: ["x", true, null] },
      { a: 1, b: ["x", null, true], c: null },
    ]
  ) assertNotEquals(contentKey(other), key);
});

Deno.test("contentKey() refuses numbers that JSON would turn into null", () => {
  assertThrows(() => contentKey({ a: NaN }), RangeError, "finite");
});
