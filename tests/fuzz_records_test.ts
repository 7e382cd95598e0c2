// Mutated files of the suite's own: each is refused in one line, or read as it says.

import { assert } from "@std/assert";
import { fuzz } from "./fixtures/fuzz.ts";

const MIB = 2 ** 20;

for (
  const [target, what, cases] of [
    ["moments", "moments files", 1000],
    ["cell", "cell records", 1500],
    ["runFolder", "run folders", 400],
    ["converted", "converted folders", 1000],
  ] as const
) {
  Deno.test(`${cases} mutated ${what} are refused in one line or read as they say`, async () => {
    const { refused, accepted, grownBytes } = await fuzz(
      "./fuzz_records.ts",
      target,
      cases,
    );
    console.log(`${refused} refused, ${accepted} accepted`);
    // A run folder with a damaged note is reported on all the same.
    assert(refused > 0 || target === "runFolder");
    assert(accepted > 0);
    assert(grownBytes < 512 * MIB, `memory grew by ${grownBytes} bytes`);
  });
}
