// The coverage verb: counts, names files, fails where too little is run.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { coverageText } from "../src/cli/coverage.ts";

async function coverage(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "coverage", ...args],
    cwd: fileURLToPath(new URL("../", import.meta.url)),
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

Deno.test("coverage runs the tests that are named, counts unloaded files and fails below its share", async () => {
  const file = "src/base/content_key_test.ts";
  const run = await coverage("--lines", "0", file);
  assertEquals(run.code, 0, run.stderr);
  assertMatch(run.stdout, /^\d+ passed, 0 failed$/m);
  assertMatch(run.stdout, /^src\/cli\/coverage\.ts +\d+ +\d+\.\d %$/m);
  assertMatch(
    run.stdout,
    /^Line coverage of src\/: \d+\.\d % \(\d+ of \d{5,} lines, \d{3,} files\)$/m,
  );
  // What that test runs is above the list.
  assertEquals(/^src\/base\/content_key\.ts/m.test(run.stdout), false);
});

Deno.test("coverage exits 1 where too few lines are run, 2 on bad arguments", async () => {
  const low = await coverage("src/base/content_key_test.ts");
  assertEquals(low.code, 1);
  assertStringIncludes(low.stderr, "less than 90.0 % of the lines of src/");
  const bad = await coverage("--lines", "90");
  assertEquals(bad.code, 2);
  assertStringIncludes(
    bad.stderr,
    "option --lines: found 90; allowed: 0 to 1",
  );
  const help = await coverage("--help");
  assertEquals(help.code, 0);
  assertStringIncludes(help.stdout, "Usage: deno task coverage");
});

Deno.test("coverageText() names files below the mark, the least run first", () => {
  assertEquals(
    coverageText([
      { path: "src/a.ts", lines: 10, covered: 7 },
      { path: "src/b.ts", lines: 100, covered: 90 },
      { path: "src/c.ts", lines: 10, covered: 0 },
    ]).split("\n").map((line) => line.replaceAll(/ {2,}/g, "  ")),
    [
      "Files of src/ with less than 80.0 % of their lines run:",
      "file  lines  run",
      "src/c.ts  10  0.0 %",
      "src/a.ts  10  70.0 %",
      "Line coverage of src/: 80.8 % (97 of 120 lines, 3 files)",
    ],
  );
  assertStringIncludes(
    coverageText([{ path: "src/a.ts", lines: 1, covered: 1 }]),
    "No file of src/ has less than 80.0 %",
  );
});
