import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { Matrix64 } from "../base/tensor.ts";
import { channelRatio, tokenRatio } from "./balance_kv.ts";

function diagonal(...values: number[]): Matrix64 {
  const n = values.length;
  const data = new Float64Array(n * n);
  values.forEach((value, i) => data[i * n + i] = value);
  return { rows: n, columns: n, data };
}

Deno.test("channelRatio() leaves the first m channels of keys and of values out", () => {
  // Keys 1e6 1e6 | 16 36, values 1e6 1e6 | 1 9: norms 4 6 and 1 3.
  const gram = diagonal(1e6, 1e6, 16, 36, 1e6, 1e6, 1, 9);
  assertAlmostEquals(channelRatio(gram, 2, 1), 5 / 2);
  assertAlmostEquals(channelRatio(gram, 2, 5), 1 / 2);
});

Deno.test("channelRatio() is 1 where there is nothing to balance", () => {
  assertEquals(channelRatio(diagonal(1, 1, 1, 1), 2, 1), 1);
  assertEquals(channelRatio(diagonal(1, 0, 1, 5), 1, 1), 1);
  assertEquals(channelRatio(diagonal(1, 5, 1, 0), 1, 1), 1);
});

Deno.test("tokenRatio() is the ratio of mean row norms", () => {
  const keys = { rows: 2, columns: 2, data: Float64Array.of(3, 4, 0, 15) };
  const values = { rows: 2, columns: 1, data: Float64Array.of(-1, 3) };
  assertAlmostEquals(tokenRatio(keys, values, 1), 5);
  assertAlmostEquals(tokenRatio(keys, values, 2), 2.5);
});
