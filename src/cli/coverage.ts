// deno task coverage [FILE...]: the tests, with the lines of src/ that they run;
// those of processes that tests start count, too.
//
// Exit codes: the tests' own; 1 if too few lines are run; 2 for bad arguments.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../base/errors.ts";
import { type FileCoverage, lineShare, readLcov } from "./line_coverage.ts";
import {
  EXIT,
  formatTable,
  note,
  parseFlags,
  print,
  runVerb,
} from "./terminal.ts";
import { queueOutcome, testFiles } from "./test_queue.ts";
import { typeScriptIn } from "./typescript_files.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Tests that are run without being counted: counted code is not optimized, and
 * their long loops, or hundreds of processes, would take minutes. Others run the
 * same lines.
 */
const NOT_COUNTED: readonly RegExp[] = [
  /^tests\/fuzz_\w+_test\.ts$/,
  /^tests\/(embedded_model|engine_parity|experiment_kill|laws|webgpu_experiment|wide_layer)_test\.ts$/,
  /^src\/(conversion\/joint_pca|linalg\/top_eigen(_spectra)?)_test\.ts$/,
];

/** Names of profiles, as Deno gives them. */
const PROFILE = /^[0-9a-f-]{36}\.json$/;

const CLOSING_BRACE = "}".charCodeAt(0);

/** Files below this share are named. */
const LISTED_BELOW = 0.8;

const HELP =
  `Runs the tests and measures which lines of src/ they run, in processes that
tests start as well. Files that no test loads count as not run; tests with long
loops are run, but not counted, since counted code is slow.

Usage: deno task coverage [options] [FILE...]
  --lines SHARE  fail where less than this share is run, 0 to 1 (default 0.9)
  --keep DIR     keep the raw profiles: deno coverage DIR --html makes pages of them
  -h, --help

Lists files below ${
    LISTED_BELOW * 100
  } %. Exit codes: the tests' own, 1 if too few lines are run.`;

/**
 * Runs the verb.
 *
 * @param args Its arguments.
 * @returns The exit code.
 */
export async function coverage(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { string: ["lines", "keep"] });
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  const least = Number(flags.lines ?? 0.9);
  if (!(least >= 0 && least <= 1)) {
    throw new InputError(
      `option --lines: found ${flags.lines}; allowed: 0 to 1`,
    );
  }
  const kept = flags.keep === undefined ? undefined : String(flags.keep);
  const folder = kept ?? await Deno.makeTempDir({ prefix: "transmla-cov-" });
  try {
    await loadAll(folder);
    const tests = flags._.length > 0 ? flags._ : await testFiles();
    const { code } = await queueOutcome(tests, {
      coverageOf: (file) => isCounted(file) ? folder : undefined,
    });
    const files = await linesOf(folder);
    print();
    print(coverageText(files));
    const share = lineShare(files);
    if (share >= least) return code;
    note(`less than ${percent(least)} of the lines of src/ are run by tests`);
    return code === EXIT.ok ? EXIT.failed : code;
  } finally {
    if (kept === undefined) await Deno.remove(folder, { recursive: true });
  }
}

/** Files that are run too little, and how much all are. */
export function coverageText(files: readonly FileCoverage[]): string {
  const low = files
    .filter((file) => lineShare([file]) < LISTED_BELOW)
    .sort((a, b) => lineShare([a]) - lineShare([b]));
  const total = files.reduce((sum, { lines }) => sum + lines, 0);
  const covered = files.reduce((sum, file) => sum + file.covered, 0);
  return [
    low.length === 0
      ? `No file of src/ has less than ${
        percent(LISTED_BELOW)
      } of its lines run.`
      : `Files of src/ with less than ${
        percent(LISTED_BELOW)
      } of their lines run:\n${
        formatTable(
          ["file", "lines", "run"],
          low.map((file) => [
            file.path,
            String(file.lines),
            percent(lineShare([file])),
          ]),
        )
      }`,
    `Line coverage of src/: ${
      percent(lineShare(files))
    } (${covered} of ${total} lines, ${files.length} files)`,
  ].join("\n");
}

/** Files that no test loads would not be in the profiles. */
async function loadAll(folder: string): Promise<void> {
  const modules = (await typeScriptIn(join(ROOT, "src")))
    .filter((path) => !path.endsWith("_test.ts"));
  const script = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      script,
      modules.map((path) =>
        `await import(${JSON.stringify(`file://${path}`)});\n`
      )
        .join(""),
    );
    await succeed([
      "run",
      "--no-check",
      "--allow-all",
      "--config",
      join(ROOT, "deno.json"),
      `--coverage=${folder}`,
      script,
    ]);
  } finally {
    await Deno.remove(script);
  }
}

function isCounted(test: string): boolean {
  return !NOT_COUNTED.some((pattern) => pattern.test(test));
}

async function linesOf(folder: string): Promise<FileCoverage[]> {
  await removeBroken(folder);
  const lcov = await succeed([
    "coverage",
    "--lcov",
    `--include=^file://${ROOT}src/`,
    "--exclude=_test\\.ts$",
    folder,
  ]);
  return readLcov(lcov, ROOT);
}

/** A process that is killed while it writes its profile leaves one that is cut off. */
async function removeBroken(folder: string): Promise<void> {
  const last = new Uint8Array(1);
  for await (const { name } of Deno.readDir(folder)) {
    if (!PROFILE.test(name)) continue;
    const path = join(folder, name);
    using file = await Deno.open(path);
    const size = (await file.stat()).size;
    if (size > 0) await file.seek(-1, Deno.SeekMode.End);
    if (await file.read(last) !== 1 || last[0] !== CLOSING_BRACE) {
      await Deno.remove(path);
    }
  }
}

async function succeed(args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(`deno ${args[0]} failed: ${decoder.decode(stderr).trim()}`);
  }
  return decoder.decode(stdout);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

if (import.meta.main) await runVerb(coverage);
