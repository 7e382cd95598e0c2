// The fuzzer sees what it looks for.

import { assertEquals, assertRejects } from "@std/assert";
import { caseSeed, Chance, fuzz, fuzzSeed } from "./fixtures/fuzz.ts";

const MODULE = "./fuzz_faulty.ts";

Deno.test("fuzz() counts what is refused and what is read", async () => {
  const { refused, accepted } = await fuzz(MODULE, "good", 100);
  assertEquals(refused > accepted, true);
});

Deno.test("fuzz() names seed and case of a foreign error, of two lines and of a hang", async () => {
  for (
    const [target, says] of [
      ["foreign", "foreign RangeError: RangeError: Invalid typed array length"],
      ["twoLines", "not short lines"],
      ["hanging", "hangs"],
    ] as const
  ) {
    const error = await assertRejects(
      () => fuzz(MODULE, target, 100, 2),
      Error,
      says,
    ) as Error;
    assertEquals(
      /TRANSMLA_FUZZ_SEED=\d+ TRANSMLA_FUZZ_CASE=\d+/.test(error.message),
      true,
      error.message,
    );
  }
});

Deno.test("a case is the same in every run, and another one in each", () => {
  const draw = (number: number) => {
    const chance = new Chance(caseSeed(fuzzSeed(), number));
    return Array.from({ length: 8 }, () => chance.below(1000)).join();
  };
  assertEquals(draw(7), draw(7));
  const draws = Array.from({ length: 1000 }, (_, i) => draw(i));
  assertEquals(new Set(draws).size, draws.length);
});
