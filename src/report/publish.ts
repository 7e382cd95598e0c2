// Copies of a run what a repository should keep.

import { basename, dirname, join, resolve } from "node:path";
import { InputError, UnavailableError } from "../base/errors.ts";
import { stagesOf } from "../experiment/stages.ts";
import { makeFigures } from "./figures.ts";
import { loadRuns, readPlan, type RunData } from "./load.ts";
import { missingCells } from "./run_facts.ts";
import { privateNames, scrub, scrubText } from "./scrub.ts";
import { collectSeries } from "./series.ts";
import { renderSummary } from "./summary.ts";
import { drawFigures } from "./svg.ts";

/** What was published. */
export interface Published {
  /** The folder written. */
  readonly directory: string;
  /** File names in it, sorted. */
  readonly files: readonly string[];
  /** Why there are no figures, where there are none. */
  readonly note?: string;
}

/** What a published folder may hold; another name in it is not ours to replace. */
const PUBLISHED_NAMES: ReadonlySet<string> = new Set([
  "checks.json",
  "environment.json",
  "experiment.yaml",
  "figures",
  "peers.json",
  "plan.json",
  "results.jsonl",
  "stages.json",
  "summary.md",
]);

/**
 * Publishes a run: experiment.yaml, environment.json, results.jsonl,
 * checks.json, stages.json, peers.json, summary.md and figures/*.svg, of a partial
 * run also plan.json, without folders, user or host names. An earlier publication is replaced as a whole, or not at all.
 *
 * @param runDirectory A run folder.
 * @param targetDirectory Where to. @default results/published/<experiment>
 * @param options `partial` allows a run of which planned cells are missing or files cannot be read.
 * @returns What was written.
 * @throws {InputError} If the run folder cannot be read, as a whole or in part, or is incomplete, or the target holds other files.
 */
export async function publishRun(
  runDirectory: string,
  targetDirectory?: string,
  options: { readonly partial?: boolean } = {},
): Promise<Published> {
  const loaded = await loadRuns([runDirectory]);
  if (loaded.missing.length > 0 && options.partial !== true) {
    throw new InputError(
      `Cannot publish ${runDirectory} as ${
        missingCells(loaded)
      }: deno task experiment goes on with them, --partial publishes what is there`,
    );
  }
  const [problem] = loaded.problems;
  if (problem !== undefined && options.partial !== true) {
    throw new InputError(
      `Cannot publish ${runDirectory} as a part of it would be lost: ${problem}; --partial publishes the rest`,
    );
  }
  const names = privateNames(loaded.environments);
  // Summary and figures are made from the scrubbed records, not copied.
  const run: RunData = {
    ...scrub(loaded, names),
    // One folder, whose name is not kept.
    folders: [],
    ...(loaded.experimentText === undefined ? {} : {
      experimentText: scrubText(loaded.experimentText, names),
    }),
  };
  const directory = targetDirectory ??
    `results/published/${folderName(run.experiments[0]!)}`;
  await refuseOthers(directory);
  const { figures, note } = await draw(run);
  const files = contents(run, figures);
  if (loaded.missing.length > 0) {
    // Only the plan says what is missing, to whoever renders the records again.
    const plan = await readPlan(runDirectory, []);
    files.set("plan.json", scrubText(json(plan), names));
  }
  const written = await replaceFolder(directory, files);
  return { directory, files: written, ...(note === undefined ? {} : { note }) };
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2) + "\n";
}

/** Text by file name. */
function contents(
  run: RunData,
  figures: ReadonlyMap<string, string>,
): Map<string, string> {
  const files = new Map([[
    "results.jsonl",
    run.cells.map((cell) => JSON.stringify(cell) + "\n").join(""),
  ]]);
  if (run.experimentText !== undefined) {
    files.set("experiment.yaml", run.experimentText);
  }
  const environment = run.environments[0];
  if (environment !== undefined) {
    files.set("environment.json", json(environment));
  }
  if (run.checks.length > 0) files.set("checks.json", json(run.checks));
  if (run.peers !== undefined) files.set("peers.json", json(run.peers));
  const stages = stagesOf(run.cells);
  if (stages !== undefined) files.set("stages.json", json(stages));
  for (const [id, svg] of figures) files.set(`figures/${id}.svg`, svg);
  files.set(
    "summary.md",
    renderSummary(run, figures.size > 0 ? "figures" : undefined),
  );
  return files;
}

/** Writes beside the folder and then takes its place. */
async function replaceFolder(
  directory: string,
  contents: ReadonlyMap<string, string>,
): Promise<string[]> {
  const target = resolve(directory);
  const written = join(dirname(target), `.${basename(target)}.new`);
  const replaced = join(dirname(target), `.${basename(target)}.old`);
  await removeFolder(written);
  await removeFolder(replaced);
  try {
    for (const [name, text] of contents) {
      const path = join(written, name);
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.writeTextFile(path, text);
    }
    await rename(target, replaced);
    await Deno.rename(written, target);
  } finally {
    await removeFolder(written);
  }
  await removeFolder(replaced);
  return [...contents.keys()].sort();
}

async function refuseOthers(directory: string): Promise<void> {
  try {
    for await (const { name } of Deno.readDir(directory)) {
      if (PUBLISHED_NAMES.has(name)) continue;
      throw new InputError(
        `Cannot publish to ${directory} as it has ${name} in it, which is no part of a publication`,
      );
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function rename(from: string, to: string): Promise<void> {
  try {
    await Deno.rename(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function removeFolder(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function draw(
  run: RunData,
): Promise<{ figures: Map<string, string>; note?: string }> {
  try {
    return {
      figures: await drawFigures(makeFigures(collectSeries(run), run)),
    };
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return { figures: new Map(), note: error.message };
  }
}

/** An experiment's name as one safe folder name. */
function folderName(name: string): string {
  const safe = name.toLowerCase().replace(/[^a-z0-9.-]+/g, "-").replace(
    /^[.-]+/,
    "",
  );
  return safe === "" ? "experiment" : safe;
}
