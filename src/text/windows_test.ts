import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../base/errors.ts";
import { windows } from "./windows.ts";

const IDS = Int32Array.from({ length: 11 }, (_, i) => i);

Deno.test("windows() cuts without overlap and drops the tail", () => {
  assertEquals(windows(IDS, 4).map((w) => [...w]), [
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ]);
  assertEquals(windows(IDS, 11).length, 1);
});

Deno.test("windows() uses at most maxTokens", () => {
  assertEquals(windows(IDS, 2, 5).length, 2);
  assertEquals(windows(IDS, 2, 100).length, 5);
});

Deno.test("windows() returns copies that hold a window only", () => {
  assertEquals(windows(IDS, 4)[1]!.buffer.byteLength, 16);
});

Deno.test("windows() names the numbers where no window fits", () => {
  assertThrows(
    () => windows(IDS, 12),
    InputError,
    "windows of 12 tokens as the text has 11",
  );
  assertThrows(
    () => windows(IDS, 4, 3),
    InputError,
    "windows of 4 tokens as the text has 11 and 3 are to be used",
  );
  for (const size of [0, 1, 2.5, NaN]) {
    assertThrows(() => windows(IDS, size), InputError, "windowTokens");
  }
});
