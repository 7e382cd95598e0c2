// Mutated weight files: each is refused in one line, or read as its bytes say.

import { assert } from "@std/assert";
import { fuzz } from "./fixtures/fuzz.ts";

const MIB = 2 ** 20;

for (
  const [target, what, cases] of [
    ["safetensors", "safetensors", 3000],
    ["shards", "sharded safetensors and their index", 1500],
    ["gguf", "GGUF", 3000],
  ] as const
) {
  Deno.test(`${cases} mutated files of ${what} are refused in one line or read as they say`, async () => {
    const { refused, accepted, grownBytes } = await fuzz(
      "./fuzz_weights.ts",
      target,
      cases,
    );
    console.log(`${refused} refused, ${accepted} accepted`);
    // Mutations that nothing notices, or that everything does, test nothing.
    assert(refused > cases / 10 && accepted > 0);
    assert(grownBytes < 512 * MIB, `memory grew by ${grownBytes} bytes`);
  });
}
