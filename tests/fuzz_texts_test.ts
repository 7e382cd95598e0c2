// Mutated config.json, tokenizer.json and experiment files: each is refused in
// short lines, or read as it says.

import { fuzz } from "./fixtures/fuzz.ts";

for (
  const [target, what, cases] of [
    ["config", "config.json", 1500],
    ["tokenizer", "tokenizer.json", 1500],
    ["experiment", "experiment files", 2000],
  ] as const
) {
  Deno.test(`${cases} mutations of ${what} are refused in short lines or read as they say`, async () => {
    await fuzz("./fuzz_texts.ts", target, cases);
  });
}
