import { assertEquals, assertRejects } from "@std/assert";
import { Turns } from "./turns.ts";

Deno.test("Turns run operations one after the other, failures included", async () => {
  const turns = new Turns();
  const seen: string[] = [];
  const operation = (name: string, fails = false) => async () => {
    seen.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    seen.push(`${name} ends`);
    if (fails) throw new Error(name);
    return name;
  };
  const a = turns.take(operation("a"));
  const b = turns.take(operation("b", true));
  const c = turns.take(operation("c"));
  assertEquals(await a, "a");
  await assertRejects(() => b, Error, "b");
  assertEquals(await c, "c");
  assertEquals(seen, [
    "a begins",
    "a ends",
    "b begins",
    "b ends",
    "c begins",
    "c ends",
  ]);
});
