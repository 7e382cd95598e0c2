import { assertEquals } from "@std/assert";
import { liveBytes } from "./live_bytes.ts";

Deno.test("liveBytes() takes off the reserve that was asked for, and no more", () => {
  assertEquals(liveBytes([], 0, 0), 0);
  // 10 tokens asked, 4 held: 2 and 1 numbers a token.
  const exact = [new Float32Array(20), new Float32Array(10)];
  assertEquals(liveBytes(exact, 4, 10), 4 * 3 * 4);
  assertEquals(liveBytes(exact, 10, 10), 10 * 3 * 4);
  // Ten times the room.
  const large = [new Float32Array(200), new Float32Array(100)];
  assertEquals(liveBytes(large, 4, 10), 10 * 4 * 3 * 4);
  // A small view does not make its buffer small.
  const views = large.map((buffer) => buffer.subarray(0, 8));
  assertEquals(liveBytes(views, 4, 10), 10 * 4 * 3 * 4);
});
