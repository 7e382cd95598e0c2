import { assertEquals, assertThrows } from "@std/assert";
import { Mt19937 } from "./mt19937.ts";

Deno.test("Mt19937 gives the published outputs", () => {
  // The C++ standard ([rand.predef]) fixes the 10,000th output of the default seed.
  const random = new Mt19937(5489);
  assertEquals(random.nextUint32(), 3499211612);
  for (let i = 2; i < 10_000; i++) random.nextUint32();
  assertEquals(random.nextUint32(), 4123659995);
});

Deno.test("Mt19937 refuses a seed that is no 32-bit integer", () => {
  for (const seed of [-1, 2 ** 32, 0.5, NaN]) {
    assertThrows(() => new Mt19937(seed), RangeError, String(seed));
  }
});
