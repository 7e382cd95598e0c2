import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../base/errors.ts";
import { commonPrefix, spreadPrompts } from "./continuation.ts";

const IDS = Int32Array.from({ length: 100 }, (_, i) => i);

Deno.test("spreadPrompts() takes prompts evenly from the measured part", () => {
  const options = { prompts: 3, promptTokens: 4, tokens: 40 };
  assertEquals(
    spreadPrompts(IDS, options).map((prompt) => [...prompt]),
    [[0, 1, 2, 3], [13, 14, 15, 16], [26, 27, 28, 29]],
  );
  const all = { prompts: 2, promptTokens: 50, tokens: 1000 };
  assertEquals(spreadPrompts(IDS, all).map((prompt) => prompt[0]), [0, 50]);
  assertThrows(
    () => spreadPrompts(IDS, { ...all, promptTokens: 51 }),
    InputError,
    "prompts x promptTokens must be <= 100",
  );
});

Deno.test("commonPrefix() counts equal tokens before the first other one", () => {
  const of = (...ids: number[]) => Int32Array.from(ids);
  assertEquals(commonPrefix(of(1, 2, 3), of(1, 2, 4)), 2);
  assertEquals(commonPrefix(of(5, 2, 3), of(1, 2, 3)), 0);
  assertEquals(commonPrefix(of(1, 2), of(1, 2, 3)), 2);
  assertEquals(commonPrefix(of(), of(1)), 0);
});
