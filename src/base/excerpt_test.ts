import { assert, assertEquals } from "@std/assert";
import { excerpt, oneLine } from "./excerpt.ts";

Deno.test("excerpt() writes JSON", () => {
  for (
    const [value, text] of [
      ["a", '"a"'],
      [1.5, "1.5"],
      [NaN, "NaN"],
      [null, "null"],
      [undefined, "undefined"],
      [2n ** 64n, "18446744073709551616"],
      [[1, "b", [2]], '[1,"b",[2]]'],
      [{ a: { b: [] } }, '{"a":{"b":[]}}'],
    ] as const
  ) assertEquals(excerpt(value), text);
});

Deno.test("excerpt() and oneLine() keep control characters from a terminal", () => {
  const hostile = 'a\n\x1b[31m\u009b\u2028\u202e"\ud800';
  assertEquals(
    excerpt(hostile),
    '"a\\n\\u001b[31m\\u009b\\u2028\\u202e\\"\\ud800"',
  );
  assertEquals(oneLine(" a\r\n\tb\x1b[0m "), "a b\\u001b[0m");
});

Deno.test("excerpt() cuts what is long, wide or deep", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 1e5; i++) deep = [deep];
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  for (
    const value of [
      "x".repeat(1e7),
      Array(1e6).fill("y"),
      Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => [i, i])),
      deep,
      cyclic,
      "\x00".repeat(1000),
    ]
  ) assert(excerpt(value).length <= 80);
  assertEquals(excerpt(deep), "[[[[[...]]]]]");
  assertEquals(excerpt("x".repeat(100), 10), '"xxxxxx...');
  assertEquals(oneLine("x".repeat(1e6), 10), "xxxxxxx...");
});
