// Several runs in one table and one set of figures, keyed by run and label, and
// what must be known before their numbers are compared.

import { type Figure, plotText } from "./figure.ts";
import { joinWords } from "./format.ts";
import { throughputByContext } from "./line_figures.ts";
import type { NamedRun, RunData } from "./load.ts";
import { type ParetoFront, paretoFront } from "./pareto.ts";
import { paretoByCache, paretoBySpeed } from "./pareto_figures.ts";
import { divergenceByCache, perplexityByCache } from "./point_figures.ts";
import { machineName, scored } from "./protocol.ts";
import { collectSeries, mainContext, type Series } from "./series.ts";
import { COLOR_COUNT, SYMBOLS } from "./series_styles.ts";

/** Several runs as one. */
export interface Joint {
  /** Of all runs; labels are unique with runName only. */
  readonly series: readonly Series[];
  /** All cells; captions name each run's protocol. */
  readonly run: RunData;
  /** Null where the runs cannot be ranked together. */
  readonly front: ParetoFront | null;
  /** What differs between the runs, sentences. */
  readonly differences: readonly string[];
}

/**
 * Puts runs side by side. A run has a color, its variants differ by symbol.
 *
 * @param runs Two or more.
 */
export function joinRuns(runs: readonly NamedRun[]): Joint {
  const series: Series[] = [];
  for (const [i, { name, run }] of runs.entries()) {
    for (const [j, one] of collectSeries(run).entries()) {
      const common = {
        index: series.length,
        runName: name,
        style: {
          color: `c${i % COLOR_COUNT}`,
          symbol: one.isBaseline ? "star" : SYMBOLS[(j - 1) % SYMBOLS.length]!,
          dash: "solid",
        },
      };
      series.push({
        ...one,
        ...common,
        ...(one.seeds === undefined ? {} : {
          seeds: one.seeds.map((seed) => ({ ...seed, ...common })),
        }),
      });
    }
  }
  const models = distinct(
    runs,
    ({ cells }) => cells.map(({ model }) => model.id),
  );
  const window = mainContext(series);
  const texts = distinct(
    runs,
    (run) =>
      scored(run, "perplexity").filter(({ windowTokens }) =>
        windowTokens === window
      ).map(({ text, windows, windowTokens }) =>
        JSON.stringify([text, windows, windowTokens])
      ),
  );
  const machines = distinct(runs, (run) => [machineName(run)]);
  const canRank = models.length === 1 && texts.length === 1;
  return {
    series,
    run: merged(runs),
    front: canRank ? paretoFront(series, machines.length === 1) : null,
    differences: [
      ...models.length > 1
        ? [
          "The models differ: perplexities are comparable within a model only.",
        ]
        : [],
      ...texts.length > 1
        ? [
          "Texts or windows differ: perplexities are comparable only where both agree.",
        ]
        : [],
      ...machines.length > 1
        ? ["The machines differ: speeds are comparable within a run only."]
        : [],
      ...canRank ? [] : [
        "No Pareto front is drawn over runs that cannot be ranked together.",
      ],
    ],
  };
}

/** The figures that several runs have in common; ids begin with "joint-". */
export function jointFigures({ series, run, front }: Joint): Figure[] {
  const named = series.map((one) => ({
    ...one,
    label: `${one.label} · ${one.runName}`,
  }));
  const twin = new Map(series.map((one, i) => [one, named[i]!]));
  const of = (all: Iterable<Series>) => [...all].map((one) => twin.get(one)!);
  const namedFront = front === null ? null : {
    ...front,
    judged: new Set(of(front.judged)),
    front: new Set(of(front.front)),
    unjudged: of(front.unjudged),
  };
  return [
    perplexityByCache(named, run),
    divergenceByCache(named, run),
    throughputByContext(named, run),
    ...[
      paretoByCache(named, run, namedFront),
      paretoBySpeed(named, run, namedFront),
    ].map((figure) =>
      figure && {
        ...figure,
        caption: `The front is of all runs, shown or not. ${figure.caption}`,
      }
    ),
  ].filter((figure) => figure !== undefined).map((figure) => ({
    ...figure.key.length > LONG_KEY ? withKeyOfRuns(figure) : figure,
    id: `joint-${figure.id}`,
  }));
}

/** Entries of a key that are still read. */
const LONG_KEY = 14;

/** A key of colors alone: one entry a run, in the page and in a saved figure. */
function withKeyOfRuns(figure: Figure): Figure {
  const seen = new Set<unknown>();
  const isFirst = (name: unknown) => !seen.has(name) && seen.add(name);
  const data = figure.data.map(({ name, ...trace }) =>
    name !== undefined && isFirst(trace["meta"])
      ? { ...trace, name: plotText(String(trace["meta"])) }
      : trace
  );
  const key = new Map(figure.key.map((one) => [one.runName, {
    ...one,
    label: one.runName ?? one.label,
  }]));
  return {
    ...figure,
    caption: `A color is a run. ${figure.caption}`,
    data,
    key: [...key.values()],
    needsKey: true,
  };
}

/** "rank-ablation and forty-variants". */
export function jointTitle(runs: readonly NamedRun[]): string {
  return joinWords(runs.map(({ name }) => name));
}

/** The different values that runs have: one of each run's sorted list. */
function distinct(
  runs: readonly NamedRun[],
  read: (run: RunData) => readonly string[],
): string[] {
  return [
    ...new Set(
      runs.map(({ run }) => [...new Set(read(run))].sort().join("; ")).filter((
        values,
      ) => values !== ""),
    ),
  ];
}

function merged(runs: readonly NamedRun[]): RunData {
  const all = runs.map(({ run }) => run);
  return {
    experiments: [...new Set(all.flatMap(({ experiments }) => experiments))],
    runIds: [...new Set(all.flatMap(({ runIds }) => runIds))],
    cells: all.flatMap(({ cells }) => cells),
    checks: all.flatMap(({ checks }) => checks),
    environments: all.flatMap(({ environments }) => environments),
    experiment: {},
    missing: all.flatMap(({ missing }) => missing),
    problems: all.flatMap(({ problems }) => problems),
    folders: all.flatMap(({ folders }) => folders),
    superseded: all.reduce((sum, { superseded }) => sum + superseded, 0),
    parts: runs,
  };
}
