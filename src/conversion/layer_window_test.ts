import { assertEquals, assertRejects } from "@std/assert";
import { inOrder } from "./layer_window.ts";

Deno.test("inOrder() gives values in order with so many under way", async () => {
  let running = 0;
  let most = 0;
  const make = async (index: number) => {
    most = Math.max(most, ++running);
    // Later ones are done sooner.
    for (let turn = 0; turn < 10 - index; turn++) await Promise.resolve();
    running--;
    return index;
  };
  assertEquals(await Array.fromAsync(inOrder(5, 2, make)), [0, 1, 2, 3, 4]);
  assertEquals(most, 3);
  most = 0;
  assertEquals(await Array.fromAsync(inOrder(3, 0, make)), [0, 1, 2]);
  assertEquals(most, 1);
});

Deno.test("inOrder() throws a failure when its turn comes", async () => {
  const seen: number[] = [];
  await assertRejects(
    async () => {
      const values = inOrder(
        4,
        3,
        (index) =>
          index === 2
            ? Promise.reject(new RangeError("two"))
            : Promise.resolve(index),
      );
      for await (const value of values) seen.push(value);
    },
    RangeError,
    "two",
  );
  assertEquals(seen, [0, 1]);
});
