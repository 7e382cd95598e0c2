// The README's results: generated from results/published, never typed.

import { InputError } from "../base/errors.ts";
import { makeFigures } from "./figures.ts";
import { escapeMarkdown } from "./format.ts";
import { loadRuns, type RunData } from "./load.ts";
import {
  calibrationProtocol,
  commits,
  headline,
  headlineProtocol,
} from "./protocol.ts";
import { collectSeries } from "./series.ts";
import { markdownTable } from "./summary.ts";
import { headlineTable } from "./tables.ts";

const BEGIN = "<!-- results:begin -->";
const END = "<!-- results:end -->";

/** A published experiment. */
export interface PublishedRun {
  /** Its folder, relative to the README. */
  readonly path: string;
  readonly run: RunData;
  /** Ids of the figures that are there as SVG. */
  readonly figures: readonly string[];
}

/**
 * Reads every published experiment.
 *
 * @param root The folder that holds them.
 * @param path The same folder as the README names it.
 * @returns In the order of their names; empty where nothing was published.
 */
export async function loadPublished(
  root: string,
  path: string = root,
): Promise<PublishedRun[]> {
  const names = await list(root, (entry) => entry.isDirectory);
  return await Promise.all(names.map(async (name) => ({
    path: `${path}/${name}`,
    run: await loadRuns([`${root}/${name}`]),
    figures: (await list(
      `${root}/${name}/figures`,
      (entry) => entry.isFile && entry.name.endsWith(".svg"),
    )).map((file) => file.slice(0, -".svg".length)),
  })));
}

/**
 * Renders the results section: for every experiment its sentence, its table,
 * the first figure that it asks for, and what was checked.
 *
 * @param published The experiments.
 * @returns Markdown without the markers.
 */
export function renderReadmeSection(
  published: readonly PublishedRun[],
): string {
  return published.map(({ path, run, figures }) => {
    const series = collectSeries(run);
    const figure = makeFigures(series, run).find(({ id }) =>
      figures.includes(id)
    );
    const checks = run.checks.length;
    const agreeing = run.checks.filter((check) => check.ok).length;
    const commit = commits(run);
    return [
      `### ${escapeMarkdown(run.experiments.join(", "))}`,
      escapeMarkdown(headline(series, run)),
      markdownTable(headlineTable(series)),
      escapeMarkdown(
        [
          headlineProtocol(series, run),
          calibrationProtocol(run),
          checks === 0
            ? ""
            : `${agreeing} of ${checks} expected numbers were reproduced within tolerance.`,
          commit === "" ? "" : `Commit ${commit}.`,
        ].filter((part) => part !== "").join(" "),
      ) + ` Everything: [${escapeMarkdown(path)}](${path}/summary.md).`,
      ...figure === undefined ? [] : [
        `![${escapeMarkdown(figure.title)}](${path}/figures/${figure.id}.svg)`,
      ],
    ].join("\n\n");
  }).join("\n\n");
}

/**
 * Puts a results section between the README's markers.
 *
 * @param readme The README.
 * @param section The section, of renderReadmeSection().
 * @returns The README with the section in place.
 * @throws {InputError} If the markers are missing or in the wrong order.
 */
export function updateReadme(readme: string, section: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) {
    throw new InputError(
      `Cannot update README.md as it must hold ${BEGIN} before ${END}`,
    );
  }
  return `${readme.slice(0, begin + BEGIN.length)}\n\n${section}\n\n${
    readme.slice(end)
  }`;
}

async function list(
  directory: string,
  accept: (entry: Deno.DirEntry) => boolean,
): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(directory)) {
      if (accept(entry)) names.push(entry.name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}
