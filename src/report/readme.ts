// The README's results: generated from results/published, never typed.

import { InputError } from "../base/errors.ts";
import type { Check } from "../experiment/assemble.ts";
import { decimalsFor, quantityName } from "./detail_tables.ts";
import { makeFigures } from "./figures.ts";
import { escapeMarkdown, formatDelta, formatNumber } from "./format.ts";
import { headline } from "./headline.ts";
import { loadRuns, type RunData } from "./load.ts";
import {
  calibrationProtocol,
  headlineProtocol,
  machineName,
  protocol,
} from "./protocol.ts";
import { paretoFront, paretoMeaning } from "./pareto.ts";
import { commandLines, commits, memoryGrowth } from "./run_facts.ts";
import { precisionSection } from "./readme_precision.ts";
import { isSpeedRun, speedSection } from "./readme_speed.ts";
import { collectSeries, engineName } from "./series.ts";
import { codeSpan, markdownTable } from "./summary.ts";
import type { Column, Table } from "./table.ts";
import { headlineTable } from "./tables.ts";

const BEGIN = "<!-- results:begin -->";
const END = "<!-- results:end -->";

// The published folders that the section shows in full; of these the first that
// is there: whole-split figures come before those of a quick start.
const MAIN = ["rank-ablation", "quickstart"];
const PARITY = "official-parity";
const PARITY_ON_GPU = "official-parity-h100";
/** Experiment whose runs are columns of one table. */
const PRECISION = "precision";

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
  const names = await list(
    root,
    (entry) => entry.isDirectory && !entry.name.startsWith("."),
  );
  return await Promise.all(names.map(async (name) => ({
    path: `${path}/${name}`,
    run: await loadWhole(`${root}/${name}`),
    figures: (await list(
      `${root}/${name}/figures`,
      (entry) => entry.isFile && entry.name.endsWith(".svg"),
    )).map((file) => file.slice(0, -".svg".length)),
  })));
}

/** A document must not lose a table because a file behind it is broken. */
async function loadWhole(directory: string): Promise<RunData> {
  const run = await loadRuns([directory]);
  const [problem] = run.problems;
  if (problem !== undefined) throw new InputError(problem);
  return run;
}

/** The published run whose table stands first; undefined where none of those is there. */
export function mainOf(
  published: readonly PublishedRun[],
): PublishedRun | undefined {
  return MAIN.map((name) =>
    published.find(({ path }) => folderOf(path) === name)
  ).find((one) => one !== undefined);
}

/**
 * Renders the results section: the main experiment's sentence, table and first
 * figure, the comparison with the official code, the providers and element
 * types, and a line for every other published folder.
 *
 * @param published The experiments; any of them may be missing.
 * @returns Markdown without the markers; "" where nothing was published.
 */
export function renderReadmeSection(
  published: readonly PublishedRun[],
): string {
  const named = (name: string) =>
    published.find(({ path }) => folderOf(path) === name);
  const main = mainOf(published);
  const parity = named(PARITY);
  const parityOnGpu = parity === undefined ? undefined : named(PARITY_ON_GPU);
  const precision = published.filter(({ run }) =>
    run.experiments.includes(PRECISION)
  );
  const speed = published.filter(isSpeedRun);
  const shown = [main, parity, parityOnGpu, ...precision, ...speed];
  const others = published.filter((one) => !shown.includes(one));
  return [
    ...main === undefined ? [] : [mainSection(main)],
    ...parity === undefined ? [] : [paritySection(parity, parityOnGpu)],
    precisionSection(precision),
    speedSection(speed),
    others.map(otherLine).join("\n"),
  ].filter((part) => part !== "").join("\n\n");
}

function mainSection({ path, run, figures }: PublishedRun): string {
  const series = collectSeries(run);
  const figure = makeFigures(series, run).find(({ id }) =>
    figures.includes(id)
  );
  return [
    escapeMarkdown(headline(series, run)),
    markdownTable(headlineTable(series)),
    conditions(
      [headlineProtocol(series, run), paretoMeaning(paretoFront(series))]
        .filter((part) => part !== "").join(" "),
      { path, run },
    ),
    ...figure === undefined ? [] : [
      `![${escapeMarkdown(figure.title)}](${path}/figures/${figure.id}.svg)`,
    ],
  ].join("\n\n");
}

/** Expected beside measured, one row a check, and a column for the same checks on a GPU. */
function paritySection(
  parity: PublishedRun,
  onGpu: PublishedRun | undefined,
): string {
  const { checks } = parity.run;
  const sources = [...new Set(checks.map(({ source }) => source))];
  const contexts = new Set(checks.map(({ contextTokens }) => contextTokens));
  const isPerplexity = checks.every(({ metric }) =>
    metric === "perplexity.value"
  );
  const head = (text: string): Column => ({ head: text, align: "right" });
  const machine = (run: RunData) =>
    [
      machineName(run).replace(/, driver .*$/, "") || "this suite",
      ...new Set(
        run.cells.filter(({ measure }) => measure === "perplexity").map(
          engineName,
        ),
      ),
    ].join(", ");
  const table: Table = {
    columns: [
      { head: "Variant", align: "left" },
      head(sources.length === 1 ? sources[0]! : "expected"),
      head(machine(parity.run)),
      head("difference"),
      ...onGpu === undefined ? [] : [head(machine(onGpu.run))],
    ],
    rows: checks.map((check) => {
      const twin = onGpu?.run.checks.find((other) =>
        sameQuantity(other, check)
      );
      const decimals = decimalsFor(check.expected);
      const quantity = isPerplexity && contexts.size === 1
        ? ""
        : `, ${quantityName(check)}`;
      return {
        cells: [
          `${check.variantLabel}${quantity}`,
          formatNumber(check.expected, decimals),
          formatNumber(check.measured, decimals),
          formatDelta(check.difference, Math.max(decimals, 4)),
          ...onGpu === undefined
            ? []
            : [formatNumber(twin?.measured, decimals)],
        ].map((text) => ({ text })),
      };
    }),
  };
  const [context] = contexts;
  const what = isPerplexity && contexts.size === 1 && context !== undefined
    ? `Perplexity at ${
      formatNumber(context)
    } tokens, expected and measured again:`
    : "Expected and measured again:";
  const text = protocol(parity.run, { perplexity: "all" });
  return [
    what,
    ...checks.length === 0 ? [] : [markdownTable(table)],
    conditions(text, parity) +
    (onGpu === undefined ? "" : ` The last column: ${conditions("", onGpu)}`),
  ].join("\n\n");
}

/** What was measured how, where that is not said before, what agreed, and where the rest is. */
function conditions(
  protocol: string,
  { path, run }: Pick<PublishedRun, "path" | "run">,
): string {
  const commit = commits(run);
  const sentences = [
    protocol,
    memoryGrowth(run),
    protocol === "" ? "" : calibrationProtocol(run),
    reproduced(run),
    commit === "" ? "" : `Commit ${commit}.`,
  ].filter((part) => part !== "").join(" ");
  const commands = commandLines(run).map((line) =>
    ` Command: ${codeSpan(line)}.`
  );
  return `${escapeMarkdown(sentences)}${commands.join("")} Everything: ${
    summaryLink(path)
  }.`;
}

function otherLine({ path, run }: PublishedRun): string {
  const description = run.experiment["description"];
  const machine = machineName(run);
  const parts = [
    typeof description === "string" ? description.trim() : "",
    machine === "" ? "" : `on ${machine}`,
  ].filter((part) => part !== "").join(", ");
  const checked = reproduced(run);
  return `- ${summaryLink(path)}: ${
    escapeMarkdown([`${parts}.`, checked].join(" ").trim())
  }`;
}

function summaryLink(path: string): string {
  return `[${escapeMarkdown(folderOf(path))}](${path}/summary.md)`;
}

function reproduced({ checks }: RunData): string {
  if (checks.length === 0) return "";
  return `${
    checks.filter(({ ok }) => ok).length
  } of ${checks.length} expected numbers were reproduced within tolerance.`;
}

function sameQuantity(a: Check, b: Check): boolean {
  return a.variantLabel === b.variantLabel && a.metric === b.metric &&
    a.contextTokens === b.contextTokens;
}

function folderOf(path: string): string {
  return path.split("/").at(-1)!;
}

/**
 * Puts a results section between the README's markers.
 *
 * @param readme The README.
 * @param section The section, of renderReadmeSection().
 * @param name Its file's, for the error.
 * @returns The README with the section in place.
 * @throws {InputError} If the markers are missing or in the wrong order.
 */
export function updateReadme(
  readme: string,
  section: string,
  name = "README.md",
): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) {
    throw new InputError(
      `Cannot update ${name} as it must hold ${BEGIN} before ${END}`,
    );
  }
  const [before, after] = [
    readme.slice(0, begin + BEGIN.length),
    readme.slice(end),
  ];
  if (section === "") return `${before}\n${after}`;
  // `deno fmt` would align the tables and so disagree with what is generated.
  return `${before}\n<!-- deno-fmt-ignore-start -->\n\n${section}\n\n<!-- deno-fmt-ignore-end -->\n${after}`;
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
