// Runs `deno test`, names every skipped test with what the machine lacks for it,
// and counts.

import { fileURLToPath } from "node:url";
import { readSkipped, readSummary, type SkippedTest } from "./test_report.ts";

// No network but this machine: tests may talk to servers that they start.
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-ffi",
  "--allow-sys",
  "--allow-run",
  "--allow-net=127.0.0.1,localhost",
];

/** How to run the tests. */
export interface TestOptions {
  /** Folder that gets coverage profiles, also of processes that tests start. */
  readonly coverage?: string;
}

/** How the tests ended. */
export interface TestOutcome {
  /** The exit code. */
  readonly code: number;
  readonly passed: number;
  readonly failed: number;
}

/**
 * Runs the tests, names the skipped ones and counts.
 *
 * @param args Further arguments of `deno test`.
 * @param options How to run them.
 */
export async function testOutcome(
  args: readonly string[],
  { coverage }: TestOptions = {},
): Promise<TestOutcome> {
  const folder = await Deno.makeTempDir({ prefix: "transmla-test-" });
  try {
    const report = `${folder}/report.xml`;
    const missing = `${folder}/missing.jsonl`;
    const child = new Deno.Command(Deno.execPath(), {
      // `deno task check` checks the types.
      args: ["test", "--no-check", `--junit-path=${report}`, ...PERMISSIONS]
        .concat(
          coverage === undefined
            ? []
            : [`--coverage=${coverage}`, "--coverage-raw-data-only"],
        )
        .concat(args),
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      env: {
        TRANSMLA_MISSING_FILE: missing,
        ...(coverage === undefined ? {} : { DENO_COVERAGE_DIR: coverage }),
        ...(Deno.stdout.isTerminal() ? { FORCE_COLOR: "1" } : {}),
      },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const output = await passThrough(child.stdout);
    const { code } = await child.status;
    const skipped = readSkipped(await textOf(report), await textOf(missing));
    return conclude(code, output, skipped);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function conclude(
  code: number,
  output: string,
  skipped: readonly SkippedTest[],
): TestOutcome {
  const summary = readSummary(output);
  if (skipped.length > 0) {
    console.log("\nSkipped:");
    for (const { file, name, reason } of skipped) {
      console.log(`  ${file}: ${name}\n    ${reason}`);
    }
  }
  const skips = skipped.length > 0 ? `, ${skipped.length} skipped` : "";
  if (summary === undefined) {
    // deno test ended before it could count: bad arguments, or a crash.
    console.log(`\n0 passed, 1 failed${skips}`);
    return { code: code === 0 ? 1 : code, passed: 0, failed: 1 };
  }
  console.log(`\n${summary.passed} passed, ${summary.failed} failed${skips}`);
  if (code !== 0) return { ...summary, code };
  const required = Deno.env.get("TRANSMLA_REQUIRE_ALL") === "1";
  const bad = summary.failed > 0 || (required && skipped.length > 0);
  return { ...summary, code: bad ? 1 : 0 };
}

async function passThrough(
  stream: ReadableStream<Uint8Array>,
): Promise<string> {
  const decoder = new TextDecoder();
  const writer = Deno.stdout.writable.getWriter();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    await writer.write(chunk);
  }
  writer.releaseLock();
  return text;
}

async function textOf(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
