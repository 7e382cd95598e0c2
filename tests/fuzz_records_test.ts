// Mutated files of the suite's own: each is refused in one line, or read as it says.

import { fuzz } from "./fixtures/fuzz.ts";

for (
  const [target, what, cases] of [
    ["moments", "moments files", 1000],
    ["cell", "cell records", 1500],
    ["runFolder", "run folders", 400],
    ["converted", "converted folders", 1000],
  ] as const
) {
  Deno.test(`${cases} mutated ${what} are refused in one line or read as they say`, async () => {
    await fuzz("./fuzz_records.ts", target, cases);
  });
}
