// deno task validate: checks experiment files and run folders without running
// anything.

import { InputError } from "../base/errors.ts";
import { labelsOf, parseExperiment } from "../experiment/experiment_file.ts";
import { auditRun } from "../experiment/run_audit.ts";
import { readPeers } from "../report/load.ts";
import { loadRuns } from "../report/mod.ts";
import { experimentNames, readExperimentFile } from "./experiment_source.ts";
import { refuseOtherInputs } from "./reproduction_plan.ts";
import { locateRun } from "./run_source.ts";
import { EXIT, note, paint, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `Checks experiment files and run folders; nothing is run.

Usage: deno task validate [FILE|RUN_DIR...] [options]
  FILE     a path, or the name of a file in experiments/ (default: all of them):
           every error with its line
  RUN_DIR  a run folder or a published one: every cell of the plan is there, every
           record is sound and its figures agree with each other, results.jsonl is
           that of the cells, experiment, weights and texts are those of the records

  --set KEY=VALUE  change a value of the files (repeatable)
  --inputs         of runs also whether weights, texts and tokenizer that are had
                   here have the recorded sha256; nothing is downloaded
  --json           as JSON
  --help           this text

Exit codes: 0 all are good, 1 a run has faults, 2 a file has.`;

/** What was found of one file or folder. */
interface Validation {
  readonly path: string;
  readonly kind: "experiment" | "run";
  readonly good: boolean;
  /** "4 variants", "55 cells". */
  readonly summary: string;
  readonly problems: readonly string[];
  readonly [detail: string]: unknown;
}

/**
 * Runs the verb.
 *
 * @param args Its arguments.
 * @returns The exit code.
 */
export async function validate(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    collect: ["set"],
    boolean: ["inputs", "json"],
  });
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  const names = flags._.length > 0 ? flags._ : await experimentNames();
  const found: Validation[] = [];
  for (const name of names) {
    const validation = await isFolder(name)
      ? await validateRun(name, Boolean(flags["inputs"]))
      : await validateFile(name, flags["set"] as string[]);
    found.push(validation);
    if (!flags["json"]) say(validation);
  }
  if (flags["json"]) print(JSON.stringify(found, null, 1));
  const bad = found.filter(({ good }) => !good);
  return bad.length === 0
    ? EXIT.ok
    : bad.some(({ kind }) => kind === "experiment")
    ? EXIT.badInput
    : EXIT.failed;
}

function say({ path, good, summary, problems }: Validation): void {
  if (good) print(`${path}: good, ${summary}`);
  for (const line of problems) note(`${paint("error", "red")}: ${line}`);
}

async function validateFile(
  name: string,
  set: readonly string[],
): Promise<Validation> {
  try {
    const { path, text } = await readExperimentFile(name);
    const variants = labelsOf(parseExperiment(text, path, { set })).length;
    return {
      path,
      kind: "experiment",
      good: true,
      summary: plural(variants, "variant"),
      problems: [],
      variants,
    };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return {
      path: name,
      kind: "experiment",
      good: false,
      summary: "",
      problems: error.message.split("\n"),
    };
  }
}

async function validateRun(
  name: string,
  withInputs: boolean,
): Promise<Validation> {
  const { path, ...audit } = await auditRun(await locateRun(name));
  const peers: string[] = [];
  await readPeers(path, peers);
  const problems = [
    ...audit.problems,
    ...peers,
    ...withInputs ? await inputProblems(path) : [],
  ];
  return {
    ...audit,
    path,
    kind: "run",
    good: problems.length === 0,
    summary: `${plural(audit.recorded, "cell")}${
      audit.failed > 0 ? `, ${audit.failed} of them without a result` : ""
    }`,
    problems,
  };
}

/** Opens what the run has read, and compares its hashes. */
async function inputProblems(path: string): Promise<string[]> {
  try {
    const { cells, environments, experimentText } = await loadRuns([path]);
    if (experimentText === undefined) return [];
    const file = `${path}/experiment.yaml`;
    const experiment = parseExperiment(experimentText, file);
    const { identifyInputs } = await import("../experiment/inputs.ts");
    const inputs = await identifyInputs(experiment, note);
    refuseOtherInputs(path, cells, environments[0], experiment, inputs);
    return [];
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      return [
        `${path}: an input is not here: deno task experiment downloads it`,
      ];
    }
    if (error instanceof InputError) return error.message.split("\n");
    throw error;
  }
}

async function isFolder(name: string): Promise<boolean> {
  try {
    return (await Deno.stat(name)).isDirectory;
  } catch {
    // Names of files in experiments/, and paths from where the task was started.
    return false;
  }
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

if (import.meta.main) await runVerb(validate);
