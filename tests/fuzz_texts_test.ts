// Mutated config.json, tokenizer.json and experiment files: each is refused in
// short lines, or read as it says.

import { assert } from "@std/assert";
import { fuzz } from "./fixtures/fuzz.ts";

const MIB = 2 ** 20;

for (
  const [target, what, cases] of [
    ["config", "config.json", 1500],
    ["tokenizer", "tokenizer.json", 1500],
    ["experiment", "experiment files", 2500],
  ] as const
) {
  Deno.test(`${cases} mutations of ${what} are refused in short lines or read as they say`, async () => {
    const { refused, accepted, grownBytes } = await fuzz(
      "./fuzz_texts.ts",
      target,
      cases,
    );
    console.log(`${refused} refused, ${accepted} accepted`);
    assert(refused > cases / 10 && accepted > 0);
    assert(grownBytes < 512 * MIB, `memory grew by ${grownBytes} bytes`);
  });
}
