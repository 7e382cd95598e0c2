// Mutated weight files: each is refused in one line, or read as its bytes say.

import { fuzz } from "./fixtures/fuzz.ts";

for (
  const [target, what, cases] of [
    ["safetensors", "safetensors", 3000],
    ["shards", "sharded safetensors and their index", 1500],
    ["gguf", "GGUF", 3000],
  ] as const
) {
  Deno.test(`${cases} mutated files of ${what} are refused in one line or read as they say`, async () => {
    await fuzz("./fuzz_weights.ts", target, cases);
  });
}
