// Runs `deno test`, names every skipped test with what the machine lacks for it,
// and counts.

import { denoTest, type TestOptions, type TestResult } from "./deno_test.ts";

/** How the tests ended. */
export interface TestOutcome {
  /** The exit code. */
  readonly code: number;
  readonly passed: number;
  readonly failed: number;
}

/**
 * Runs the tests in one process, names the skipped ones and counts.
 *
 * @param args Further arguments of `deno test`.
 * @param options How to run them.
 */
export async function testOutcome(
  args: readonly string[],
  options: TestOptions = {},
): Promise<TestOutcome> {
  return conclude([await denoTest(args, options)]);
}

/**
 * Names the skipped tests and counts.
 *
 * @param results Of every process.
 * @returns The first exit code that is not 0; 1 where a test was skipped under TRANSMLA_REQUIRE_ALL=1.
 */
export function conclude(results: readonly TestResult[]): TestOutcome {
  const skipped = results.flatMap((result) => result.skipped);
  if (skipped.length > 0) {
    console.log("\nSkipped:");
    for (const { file, name, reason } of skipped) {
      console.log(`  ${file}: ${name}\n    ${reason}`);
    }
  }
  // A process that could not count is a failure.
  const counts = results.map(({ counts }) =>
    counts ?? { passed: 0, failed: 1 }
  );
  const passed = counts.reduce((sum, each) => sum + each.passed, 0);
  const failed = counts.reduce((sum, each) => sum + each.failed, 0);
  const skips = skipped.length > 0 ? `, ${skipped.length} skipped` : "";
  console.log(`\n${passed} passed, ${failed} failed${skips}`);
  const code = results.find(({ code }) => code !== 0)?.code ?? 0;
  if (code !== 0) return { code, passed, failed };
  const required = Deno.env.get("TRANSMLA_REQUIRE_ALL") === "1";
  const bad = failed > 0 || (required && skipped.length > 0);
  return { code: bad ? 1 : 0, passed, failed };
}
