// Runs test files side by side, each in a process of its own: most tests use one
// core, and a process has its own environment, device and memory.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { denoTest, type TestResult } from "./deno_test.ts";
import { conclude, type TestOutcome } from "./test_outcome.ts";
import { typeScriptIn } from "./typescript_files.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** More would need much memory: a test may convert a model. */
const MOST_PROCESSES = 4;

/** The longest come first, so that none is left alone at the end. */
const ORDER: readonly RegExp[] = [
  /^tests\/(embedded_model|webgpu_\w+)_test\.ts$/,
  /^tests\//,
];

/** Tests that compare times, or that wait for one: nothing else may run meanwhile. */
const ALONE =
  /^tests\/(experiment_(cli|kill|signal)|hostile_(text|yaml)|tune_cli|webgpu_tuning)_test\.ts$/;

/** How to run the files. */
export interface QueueOptions {
  /** Processes at once. @default as many as the machine has cores, 4 at most */
  readonly processes?: number;
  /** The folder that gets a file's coverage profiles; undefined where its lines do not count. @default undefined */
  readonly coverageOf?: (file: string) => string | undefined;
}

/** Every test file of the project, as a path from its root. */
export async function testFiles(): Promise<string[]> {
  const folders = ["src", "tests", "bench"].map((name) => join(ROOT, name));
  return (await Promise.all(folders.map(typeScriptIn))).flat()
    .filter((path) => path.endsWith("_test.ts"))
    .map((path) => path.slice(ROOT.length));
}

/**
 * Runs test files, each in a process of its own, and prints what each says once it
 * has ended; names the skipped tests, the files that failed, and counts.
 *
 * @param files Paths from the project's root.
 * @param options How to run them.
 */
export async function queueOutcome(
  files: readonly string[],
  {
    processes = Math.min(MOST_PROCESSES, navigator.hardwareConcurrency),
    coverageOf = () => undefined,
  }: QueueOptions = {},
): Promise<TestOutcome> {
  const results = new Map<string, TestResult>();
  const run = async (file: string) => {
    const coverage = coverageOf(file);
    const result = await denoTest([file], {
      atOnce: true,
      ...(coverage !== undefined && { coverage }),
    });
    results.set(file, result);
  };
  const { beside, alone } = schedule(files);
  const waiting = beside.values();
  // Each takes the next file as soon as it has ended one.
  const worker = async () => {
    for (const file of waiting) await run(file);
  };
  await Promise.all(Array.from({ length: processes }, worker));
  for (const file of alone) await run(file);
  const failed = files.filter((file) => results.get(file)!.code !== 0);
  if (failed.length > 0) console.log(`\nFailed:\n  ${failed.join("\n  ")}`);
  return conclude(files.map((file) => results.get(file)!));
}

/**
 * Which files run side by side, and which alone after them.
 *
 * @param files Paths from the project's root.
 * @returns Both in the order in which they begin.
 */
export function schedule(
  files: readonly string[],
): { readonly beside: string[]; readonly alone: string[] } {
  const rank = (file: string) => {
    const found = ORDER.findIndex((pattern) => pattern.test(file));
    return found < 0 ? ORDER.length : found;
  };
  return {
    beside: files.filter((file) => !ALONE.test(file))
      .sort((a, b) => rank(a) - rank(b)),
    alone: files.filter((file) => ALONE.test(file)),
  };
}
