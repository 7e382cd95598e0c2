import { assertEquals, assertRejects } from "@std/assert";
import type { DecoderModel } from "../model/decoder.ts";
import { memoized } from "./layer_memo.ts";

Deno.test("memoized() makes a value once for each model and key", async () => {
  const [first, second] = [{}, {}] as [DecoderModel, DecoderModel];
  let made = 0;
  const get = (model: DecoderModel, key: string) =>
    memoized(model, key, () => 8, () => Promise.resolve(++made));
  assertEquals(await Promise.all([get(first, "a"), get(first, "a")]), [1, 1]);
  assertEquals(await get(first, "b"), 2);
  assertEquals(await get(second, "a"), 3);
  assertEquals(await get(first, "a"), 1);
});

Deno.test("memoized() drops the least recently used over its budget", async () => {
  const model = {} as DecoderModel;
  let made = 0;
  const get = (key: string) =>
    memoized(model, key, () => 200 * 2 ** 20, () => Promise.resolve(++made));
  await get("a");
  await get("b");
  await get("a");
  await get("c");
  assertEquals(await get("a"), 1);
  assertEquals(await get("b"), 4);
});

Deno.test("memoized() forgets a failure", async () => {
  const model = {} as DecoderModel;
  await assertRejects(
    () => memoized(model, "a", () => 0, () => Promise.reject(new Error("no"))),
    Error,
    "no",
  );
  assertEquals(
    await memoized(model, "a", () => 0, () => Promise.resolve(5)),
    5,
  );
});
