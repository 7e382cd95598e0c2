// Copies of a run what a repository should keep.

import { UnavailableError } from "../base/errors.ts";
import { makeFigures } from "./figures.ts";
import { loadRuns, type RunData } from "./load.ts";
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

/**
 * Publishes a run: experiment.yaml, environment.json, results.jsonl,
 * checks.json, summary.md and figures/*.svg, without folders, user or host
 * names. Files of an earlier publication are replaced.
 *
 * @param runDirectory A run folder.
 * @param targetDirectory Where to. @default results/published/<experiment>
 * @returns What was written.
 * @throws {InputError} If the run folder cannot be read.
 */
export async function publishRun(
  runDirectory: string,
  targetDirectory?: string,
): Promise<Published> {
  const loaded = await loadRuns([runDirectory]);
  const names = privateNames(loaded.environments);
  // Summary and figures are made from the scrubbed records, not copied.
  const run: RunData = {
    ...scrub(loaded, names),
    ...(loaded.experimentText === undefined ? {} : {
      experimentText: scrubText(loaded.experimentText, names),
    }),
  };
  const directory = targetDirectory ??
    `results/published/${folderName(run.experiments[0]!)}`;
  await Deno.mkdir(directory, { recursive: true });
  const files: string[] = [];
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(`${directory}/${name}`, text);
    files.push(name);
  };
  const json = (value: unknown) => JSON.stringify(value, null, 2) + "\n";

  await write(
    "results.jsonl",
    run.cells.map((cell) => JSON.stringify(cell) + "\n").join(""),
  );
  if (run.experimentText !== undefined) {
    await write("experiment.yaml", run.experimentText);
  }
  const environment = run.environments[0];
  if (environment !== undefined) {
    await write("environment.json", json(environment));
  }
  if (run.checks.length > 0) await write("checks.json", json(run.checks));

  const { figures, note } = await draw(run);
  if (figures.size > 0) {
    await Deno.remove(`${directory}/figures`, { recursive: true }).catch(
      (error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      },
    );
    await Deno.mkdir(`${directory}/figures`);
  }
  for (const [id, svg] of figures) await write(`figures/${id}.svg`, svg);
  await write(
    "summary.md",
    renderSummary(run, figures.size > 0 ? "figures" : undefined),
  );
  return {
    directory,
    files: files.sort(),
    ...(note === undefined ? {} : { note }),
  };
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
