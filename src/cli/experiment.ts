// deno task experiment: plans, runs and reports an experiment file.

import { DiskFullError, InputError } from "../base/errors.ts";
import { assumedGflops, estimateCells } from "../experiment/estimate.ts";
import { parseExperiment } from "../experiment/experiment_file.ts";
import { identifyInputs } from "../experiment/inputs.ts";
import { machineIdentity } from "../experiment/machine.ts";
import { type Plan, planExperiment } from "../experiment/plan.ts";
import { isResult, RunFolder } from "../experiment/run_folder.ts";
import { runPlan } from "../experiment/run.ts";
import {
  runDirectory,
  type RunOptions,
  type RunResult,
  selectCells,
} from "../experiment/run_options.ts";
import type { Experiment } from "../experiment/schema.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import { isUntimed, untimedReason } from "../experiment/untimed.ts";
import { stageLine } from "../report/stage_line.ts";
import { adapterLine, adapterOf, type UsedAdapter } from "./adapter.ts";
import { readExperimentFile } from "./experiment_source.ts";
import { checkTable, planTable, resultTable } from "./experiment_tables.ts";
import { Interruption, resumeCommand } from "./interruption.ts";
import { RunVoice } from "./run_voice.ts";
import {
  EXIT,
  type Flags,
  formatSeconds,
  integerFlag,
  note,
  parseFlags,
  print,
  runVerb,
} from "./terminal.ts";

const HELP = `Runs an experiment file: converts, measures, reports.

Usage: deno task experiment [FILE] [options]
  FILE  a path, or the name of a file in experiments/ (default: quickstart)

What to run
  --set KEY=VALUE   change a value of the file: --set measure.perplexity.tokens=4096 (repeatable)
  --engine NAME     the same as --set engine.name=NAME
  --device NAME     the same as --set engine.device=NAME
  --provider NAME   the same as --set engine.provider=NAME, of engine webgpu: deno or dawn
  --dtype T         the same as --set engine.dtype=T: f32 or f16
  --cache-dtype T   the same as --set engine.cacheDtype=T, of engine webgpu: f32 or f16
  --only GLOB       variants by label: --only "original,transmla F4*"
  --shard I/N       every N-th cell from the I-th, for job arrays on one shared folder:
                    the exit code is of these cells, the last shard to end writes
                    complete results
  --limit N         measure at most N cells, then stop

How to run
  --dry-run         print the cells with estimates and stop
  --resume          go on with the run that is there (done anyway; the flag makes it explicit)
  --force           measure again what is there
  --fail-fast       stop at the first cell that fails
  --timeout SECONDS of a cell
  --out DIR         run folder (default: results/runs/NAME/ID)

Output
  --quiet           no progress
  --log-format json progress as JSON lines on standard error
  -v                stack traces, messages of the engine
  -h, --help

Several processes may run one file into one run folder at once: each cell is
measured by one of them, and measured by another if that one dies. Figures of
speed are only worth something where one process at a time uses the machine.

Ctrl-C or SIGTERM ends the run and says how to go on; a second one ends it at
once. Whatever ends it, SIGKILL or a full disk, cells are whole or not there,
and the same command goes on with what is missing.

Data goes to standard output, progress to standard error.
Exit codes: 0 all cells measured, 1 some failed or a check does not hold, 2 bad input, 130 interrupted.`;

/**
 * Runs the verb.
 *
 * @param args Its arguments.
 * @returns The exit code.
 */
export async function experiment(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: [
      "engine",
      "device",
      "provider",
      "dtype",
      "cache-dtype",
      "only",
      "shard",
      "limit",
      "timeout",
      "out",
      "log-format",
    ],
    collect: ["set"],
    boolean: ["dry-run", "resume", "force", "fail-fast", "quiet"],
  });
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  checkFlags(flags);
  const limit = integerFlag(flags, "limit", 1);
  const timeoutSeconds = integerFlag(flags, "timeout", 1);
  const voice = new RunVoice(flags);
  const interruption = new Interruption(
    resumeCommand(args),
    (message) => voice.warn(message),
  );
  const source = await readExperimentFile(flags._[0]);
  const parsed = parseExperiment(source.text, source.path, {
    set: overrides(flags),
  });
  const adapter = await adapterOf(parsed.engine);
  const plan = await planOf(parsed, adapter, voice);
  const selection = {
    ...(flags.only === undefined ? {} : { only: String(flags.only) }),
    ...(flags.shard === undefined ? {} : { shard: String(flags.shard) }),
  };
  const out = flags.out === undefined ? {} : { out: String(flags.out) };
  const runDir = runDirectory(plan, out.out);
  if (flags["dry-run"]) return await dryRun(plan, adapter, selection, runDir);
  if (adapter !== undefined) voice.say(adapterLine(adapter));

  const options: RunOptions = {
    ...selection,
    ...out,
    ...(limit === undefined ? {} : { limit }),
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    force: Boolean(flags.force),
    failFast: Boolean(flags["fail-fast"]),
    argv: ["experiment", ...args],
    signal: interruption.begin(),
    onEvent: (event) => voice.event(event),
  };
  const result = await resultOf(plan, options, voice, interruption);
  if (typeof result === "number") return result;
  await finish(result, plan.experiment.report.baseline, voice, flags);
  return result.exitCode;
}

/**
 * Runs a plan to its end, or says which command goes on with it.
 *
 * @param plan What to run.
 * @param options How.
 * @param voice Tells what happens.
 * @param interruption Whose signal `options` has.
 * @returns The result; the exit code where there is none.
 */
export async function resultOf(
  plan: Plan,
  options: RunOptions,
  voice: RunVoice,
  interruption: Interruption,
): Promise<RunResult | number> {
  try {
    const result = await runPlan(plan, options);
    voice.end();
    if (!result.interrupted) return result;
    // Someone has ended the engine process alone.
    if (!interruption.happened) {
      voice.warn(`interrupted; go on with: ${interruption.command}`);
    }
    return EXIT.interrupted;
  } catch (error) {
    if (!(error instanceof DiskFullError)) throw error;
    voice.end();
    voice.warn(
      `error: ${error.message}, then go on with: ${interruption.command}`,
    );
    return EXIT.failed;
  }
}

function checkFlags(flags: Flags): void {
  const format = flags["log-format"];
  if (format !== undefined && format !== "json" && format !== "text") {
    throw new InputError(
      `option --log-format: found ${format}; allowed: json, text`,
    );
  }
  if (flags._.length > 1) {
    throw new InputError(
      `one experiment file at a time: found ${flags._.join(", ")}`,
    );
  }
  if (flags.resume && flags.force) {
    throw new InputError("--resume and --force exclude each other");
  }
}

function overrides(flags: Flags): string[] {
  const shorthands: readonly [flag: string, key: string][] = [
    ["engine", "name"],
    ["device", "device"],
    ["provider", "provider"],
    ["dtype", "dtype"],
    ["cache-dtype", "cacheDtype"],
  ];
  return [
    ...shorthands.flatMap(([flag, key]) =>
      flags[flag] === undefined ? [] : [`engine.${key}=${flags[flag]}`]
    ),
    ...flags.set as string[],
  ];
}

async function planOf(
  parsed: Experiment,
  adapter: UsedAdapter | undefined,
  voice: RunVoice,
): Promise<Plan> {
  const inputs = await identifyInputs(parsed, (message) => voice.say(message), {
    progress: (done, total, what) => voice.download(done, total, what),
  });
  voice.end();
  return planExperiment(parsed, inputs, machineIdentity(adapter?.adapter));
}

async function dryRun(
  plan: Plan,
  adapter: UsedAdapter | undefined,
  selection: { only?: string; shard?: string },
  runDir: string,
): Promise<number> {
  const { experiment, inputs } = plan;
  const cells = selectCells(plan.cells, selection);
  const folder = new RunFolder(runDir);
  const records = await folder.readCells(cells);
  const present = new Set(
    records.filter(isResult).map((record) => record.cell),
  );
  const kind = adapter?.kind ?? "cpu";
  const measured = kind === "cpu" ? await measuredRate(folder) : undefined;
  const gflops = measured ?? assumedGflops(kind);
  const estimates = estimateCells(cells, experiment, inputs, kind, gflops);
  const reason = adapter && untimedReason(experiment, adapter);
  const untimed = reason === undefined
    ? []
    : cells.filter(({ measure }) => measure === "throughput");
  const noWork = new Map([
    ...estimates.flatMap(({ cell, exceeds }) =>
      exceeds ? [[cell, "over memoryBudget"] as const] : []
    ),
    ...[...present].map((cell) => [cell, "present"] as const),
    ...untimed.map(({ cell }) => [cell, "not timed"] as const),
  ]);
  const left = estimates.filter(({ cell }) => !noWork.has(cell))
    .reduce((sum, { seconds }) => sum + seconds, 0);
  print(planTable(cells, estimates, noWork));
  print();
  if (adapter !== undefined) print(adapterLine(adapter));
  print(
    `${cells.length} cells, ${present.size} present; model ${inputs.modelName}; run folder ${runDir}`,
  );
  if (untimed.length > 0) {
    print(untimedLine(untimed.length, reason));
  }
  print(
    `Estimates, not measurements: about ${formatSeconds(left)} in all at ${
      gflops.toFixed(0)
    } GFLOPS (${
      measured === undefined
        ? `assumed of ${ASSUMED_OF[kind]}`
        : "measured in an earlier run"
    }); memory is weights and cache.`,
  );
  return EXIT.ok;
}

const ASSUMED_OF = {
  cpu: "a CPU",
  gpu: "a GPU",
  software: "a software adapter",
} as const;

function untimedLine(count: number, reason = ""): string {
  return `${count} throughput ${count === 1 ? "cell" : "cells"} ${reason}`;
}

async function measuredRate(folder: RunFolder): Promise<number | undefined> {
  try {
    const environment = JSON.parse(
      await Deno.readTextFile(folder.file("environment.json")),
    );
    const rate = environment?.cpu?.gemmGflopsF32;
    return typeof rate === "number" && rate > 0 ? rate : undefined;
  } catch {
    return undefined;
  }
}

async function finish(
  result: RunResult,
  baseline: string,
  voice: RunVoice,
  flags: Flags,
): Promise<void> {
  print(resultTable(result.records, baseline));
  if (result.checks.length > 0) {
    print();
    print(checkTable(result.checks));
  }
  const failures = result.records.filter((record) => !isResult(record));
  for (const record of failures) {
    voice.warn(
      `${record.status}: ${record.variantLabel} ${record.measure} ${
        record.contextTokens ?? ""
      } ${record.load === undefined ? "" : `(${loadText(record.load)})`}`
        .trimEnd() + `: ${record.error ?? ""}`,
    );
  }
  const untimed = result.records.filter(isUntimed);
  if (untimed.length > 0) {
    voice.say(untimedLine(untimed.length, untimed[0]!.error));
  }
  const counts = Object.entries(result.counts)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${count} ${status}`);
  if (result.missing > 0) counts.push(`${result.missing} not measured`);
  const failed = result.checks.filter(({ ok }) => !ok).length;
  const own = result.ownChecks.filter(({ ok }) => !ok).length;
  if (failed > 0) {
    const others = failed > own
      ? `, ${failed - own} of them of cells that this call did not select`
      : "";
    counts.push(`${failed} checks do not hold${others}`);
  }
  print();
  print(counts.join(", "));
  const times = stageLine({ cells: result.records });
  if (times !== "") print(times);
  // An empty shard of a new folder has nothing to report on.
  if (result.records.length === 0) return;
  try {
    const { writeReport } = await import("../report/mod.ts");
    // Of several processes the last reads what all others have measured.
    const { summaryPath, reportPath } = await new RunFolder(result.runDir)
      .exclusively(() => writeReport(result.runDir));
    print(`summary  ${summaryPath}`);
    print(`report   ${reportPath}`);
  } catch (error) {
    // The figures are safe in the run folder; the page can be made again.
    voice.warn(
      `the report could not be written: ${
        (error as Error).message
      }; deno task report ${result.runDir}`,
    );
    if (flags.verbose) note((error as Error).stack ?? "");
  }
  print(`results  ${new RunFolder(result.runDir).file("results.jsonl")}`);
}

if (import.meta.main) await runVerb(experiment);
