// One process of `deno test`: what it said, counted and skipped.

import { fileURLToPath } from "node:url";
import { noteRaw, printRaw } from "./terminal.ts";
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
  /** Whether to print once all tests have ended, not as they say it. @default false */
  readonly atOnce?: boolean;
}

/** How a process of tests ended. */
export interface TestResult {
  /** The exit code. */
  readonly code: number;
  /** Undefined where it ended before it could count: bad arguments, or a crash. */
  readonly counts: { passed: number; failed: number } | undefined;
  readonly skipped: readonly SkippedTest[];
}

/**
 * Runs tests in one process, and prints what they say.
 *
 * @param args Further arguments of `deno test`.
 * @param options How to run them.
 */
export async function denoTest(
  args: readonly string[],
  { coverage, atOnce = false }: TestOptions = {},
): Promise<TestResult> {
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
      stderr: atOnce ? "piped" : "inherit",
    }).spawn();
    const said = atOnce ? new Response(child.stderr).text() : undefined;
    const output = atOnce
      ? await new Response(child.stdout).text()
      : await passThrough(child.stdout);
    if (said !== undefined) {
      printRaw(output);
      noteRaw(await said);
    }
    const { code } = await child.status;
    return {
      code,
      counts: readSummary(output),
      skipped: readSkipped(await textOf(report), await textOf(missing)),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function passThrough(
  stream: ReadableStream<Uint8Array>,
): Promise<string> {
  let text = "";
  const decoded = stream.pipeThrough(new TextDecoderStream());
  for await (const chunk of decoded) {
    text += chunk;
    printRaw(chunk);
  }
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
