// What must be run to reproduce a run: its experiment file with what is
// overridden, its inputs checked against the recorded ones, its cells.

import { parse as parseYaml } from "yaml";
import { InputError } from "../base/errors.ts";
import { parseExperiment } from "../experiment/experiment_file.ts";
import { matchesGlob } from "../experiment/glob.ts";
import { identifyInputs, type Inputs } from "../experiment/inputs.ts";
import { machineIdentity } from "../experiment/machine.ts";
import { type Plan, planExperiment } from "../experiment/plan.ts";
import type { CellRecord } from "../experiment/record.ts";
import type { Experiment } from "../experiment/schema.ts";
import { pairCells } from "../report/compare_pairs.ts";
import { isReproducible } from "../report/compare_reproduction.ts";
import type { ReproductionOptions } from "../report/compare_verdicts.ts";
import { isObject, type RunData } from "../report/load.ts";
import { adapterOf, type UsedAdapter } from "./adapter.ts";
import type { RunVoice } from "./run_voice.ts";
import type { Flags } from "./terminal.ts";

/** A run to make again. */
export interface ReproductionPlan {
  /** Only the cells to measure. */
  readonly plan: Plan;
  /** The first run's records of the same cells, in the order of `plan.cells`. */
  readonly recorded: readonly CellRecord[];
  /** Recorded speeds that are left out. */
  readonly untimed: number;
  /** Recorded cells that the experiment file does not give. */
  readonly strangers: number;
  readonly adapter?: UsedAdapter;
}

/**
 * Plans a reproduction.
 *
 * @param path The first run's folder, for errors.
 * @param run Its records.
 * @param flags `engine`, `device`, `provider`, `dtype`, `cache-dtype`, `tokens`, `set`, `only`, `limit`.
 * @param options What is compared.
 * @param voice Is told of downloads.
 * @throws {InputError} If the folder has no experiment file, an input is not to be had or is another one, or no cell is left.
 */
export async function planReproduction(
  path: string,
  run: RunData,
  flags: Flags,
  options: ReproductionOptions,
  voice: RunVoice,
): Promise<ReproductionPlan> {
  const text = run.experimentText;
  if (text === undefined) {
    throw new InputError(
      `Cannot reproduce ${path} as it has no experiment.yaml`,
    );
  }
  const experiment = parseExperiment(text, `${path}/experiment.yaml`, {
    set: overrides(text, flags),
  });
  const only = flags["only"];
  const chosen = run.cells.filter(({ variantLabel }) =>
    only === undefined || matchesGlob(String(only), variantLabel)
  );
  if (chosen.length === 0) {
    const labels = new Set(run.cells.map((cell) => cell.variantLabel));
    throw new InputError(
      `--only ${only}: matches no variant; variants: ${[...labels].join(", ")}`,
    );
  }
  const wanted = chosen.filter((record) => isReproducible(record, options));
  const inputs = await identifyInputs(experiment, (m) => voice.say(m), {
    progress: (done, total, what) => voice.download(done, total, what),
  });
  voice.end();
  refuseOtherInputs(path, wanted, run.environments[0], experiment, inputs);
  const adapter = await adapterOf(experiment.engine);
  const plan = planExperiment(
    experiment,
    inputs,
    machineIdentity(adapter?.adapter),
  );
  const { pairs, onlyB } = pairCells(plan.cells, wanted);
  const limit = flags["limit"] === undefined
    ? pairs.length
    : Number(flags["limit"]);
  const taken = pairs.slice(0, limit);
  if (taken.length === 0) {
    throw new InputError(
      `Cannot reproduce ${path} as it has no measured cell of its experiment.yaml${
        options.timings === undefined ? " but speeds, which need --timings" : ""
      }`,
    );
  }
  return {
    plan: { ...plan, cells: taken.map(([cell]) => cell) },
    recorded: taken.map(([, record]) => record),
    untimed:
      chosen.filter((record) =>
        record.status === "ok" && !isReproducible(record, options)
      ).length,
    strangers: onlyB.length,
    ...(adapter === undefined ? {} : { adapter }),
  };
}

/** Options as --set has them; another engine takes no fields of the recorded one. */
function overrides(text: string, flags: Flags): string[] {
  const engine = flags["engine"];
  const set: string[] = [];
  if (engine !== undefined) {
    set.push(`engine={ name: ${JSON.stringify(engine)} }`);
    const measure = (parseYaml(text) as Record<string, unknown> | null)
      ?.["measure"];
    const cache = isObject(measure) ? measure["cache"] : undefined;
    if (
      engine !== "webgpu" && isObject(cache) && cache["memoryGrowth"] === true
    ) set.push("measure.cache.memoryGrowth=false");
  }
  const fields: readonly [flag: string, key: string][] = [
    ["device", "device"],
    ["provider", "provider"],
    ["dtype", "dtype"],
    ["cache-dtype", "cacheDtype"],
  ];
  for (const [flag, key] of fields) {
    if (flags[flag] !== undefined) set.push(`engine.${key}=${flags[flag]}`);
  }
  if (flags["tokens"] !== undefined) {
    const measure = (parseYaml(text) as Record<string, unknown>)["measure"];
    for (const name of ["perplexity", "divergence"]) {
      if (isObject(measure) && isObject(measure[name])) {
        set.push(`measure.${name}.tokens=${flags["tokens"]}`);
      }
    }
  }
  return [...set, ...flags["set"] as string[]];
}

/**
 * Refuses inputs that are not those of the records: figures of other weights or
 * of another text are no reproduction.
 *
 * @param path The run, for errors.
 * @param cells Its records.
 * @param environment Its environment.json.
 * @param experiment What is read now.
 * @param inputs Of `experiment`.
 * @throws {InputError} If a sha256 is another one.
 */
export function refuseOtherInputs(
  path: string,
  cells: readonly CellRecord[],
  environment: Readonly<Record<string, unknown>> | undefined,
  experiment: Experiment,
  inputs: Inputs,
): void {
  const check = (what: string, recorded: unknown, found: unknown) => {
    if (typeof recorded !== "string" || recorded === found) return;
    throw new InputError(
      `Cannot reproduce ${path} as ${what} must have sha256 ${recorded}: found ${
        found ?? "none"
      }`,
    );
  };
  for (const cell of cells) {
    check(`weights of ${cell.model.id}`, cell.model.sha256, inputs.modelSha256);
    if (cell.measure !== "perplexity" && cell.measure !== "divergence") {
      continue;
    }
    const text = experiment.measure[cell.measure]?.text;
    if (cell.metrics === undefined || text === undefined) continue;
    check(
      `text ${text} of measure.${cell.measure}`,
      cell.metrics.textSha256,
      inputs.textSha256[text],
    );
  }
  const texts = environment?.["texts"];
  for (const text of Array.isArray(texts) ? texts : []) {
    if (!isObject(text) || typeof text["name"] !== "string") continue;
    const found = inputs.textSha256[text["name"]];
    if (found !== undefined) {
      check(`text ${text["name"]}`, text["sha256"], found);
    }
  }
  const model = environment?.["model"];
  if (isObject(model)) {
    check("the tokenizer", model["tokenizerSha256"], inputs.tokenizerSha256);
  }
}
