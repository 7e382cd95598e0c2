// deno task test [--filter X] [--lines SHARE] [FILE...]: the tests; ends with the
// skipped ones and the count.
//
// Exit codes: deno test's own; 1 if a test was skipped under TRANSMLA_REQUIRE_ALL=1.

import { coverage } from "./coverage.ts";
import { runVerb } from "./terminal.ts";
import { testOutcome } from "./test_outcome.ts";
import { queueOutcome, testFiles } from "./test_queue.ts";

const HELP = `deno task test [options] [FILE...]

Runs the tests, then names those that were skipped and what the machine lacks
for them. TRANSMLA_REQUIRE_ALL=1 makes a skipped test a failure. Without FILE and
--filter several files run at once, and each prints when it has ended.

  --filter TEXT  only tests whose name has TEXT in it
  --lines SHARE  also measure which lines of src/ they run, as deno task coverage
                 does, and fail where less than this share is run, 0 to 1
  --help         this text

Further options are deno test's own: deno test --help`;

/**
 * Runs the verb.
 *
 * @param args Further arguments of `deno test`, or of `deno task coverage` where --lines is among them.
 * @returns The exit code.
 */
export async function runTests(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  if (args.some((arg) => /^--lines(=|$)/.test(arg))) {
    return await coverage(args);
  }
  const outcome = args.length === 0
    ? await queueOutcome(await testFiles())
    : await testOutcome(args);
  return outcome.code;
}

if (import.meta.main) await runVerb(runTests);
