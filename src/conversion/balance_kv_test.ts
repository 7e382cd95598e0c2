import { assertAlmostEquals, assertEquals } from "@std/assert";
import { channelRatio, tokenRatio } from "./balance_kv.ts";

Deno.test("channelRatio() leaves the first m channels of keys and of values out", () => {
  // Keys 1e6 1e6 | 16 36, values 1e6 1e6 | 1 9: norms 4 6 and 1 3.
  const energies = Float64Array.of(1e6, 1e6, 16, 36, 1e6, 1e6, 1, 9);
  assertAlmostEquals(channelRatio(energies, 2, 1), 5 / 2);
  assertAlmostEquals(channelRatio(energies, 2, 5), 1 / 2);
});

Deno.test("channelRatio() is 1 where there is nothing to balance", () => {
  assertEquals(channelRatio(Float64Array.of(1, 1, 1, 1), 2, 1), 1);
  assertEquals(channelRatio(Float64Array.of(1, 0, 1, 5), 1, 1), 1);
  assertEquals(channelRatio(Float64Array.of(1, 5, 1, 0), 1, 1), 1);
});

Deno.test("tokenRatio() is the ratio of mean row norms", () => {
  const keys = { rows: 2, columns: 2, data: Float64Array.of(3, 4, 0, 15) };
  const values = { rows: 2, columns: 1, data: Float64Array.of(-1, 3) };
  assertAlmostEquals(tokenRatio(keys, values, 1), 5);
  assertAlmostEquals(tokenRatio(keys, values, 2), 2.5);
});
