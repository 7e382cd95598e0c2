// A series is one variant on one model and engine with all that was measured of
// it: a row of the headline table, a color of the figures. The color is given
// here, once, so that it is the same everywhere.

import { pairedDelta } from "../evaluation/perplexity.ts";
import type { CellRecord, Load, VariantRecord } from "../experiment/record.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import { isObject, type RunData } from "./load.ts";
import {
  meanOverSeeds,
  type Measurements,
  measurementsOf,
} from "./measurements.ts";
import { assignStyles, type SeriesStyle } from "./series_styles.ts";

/** A variant with its measurements by context length in tokens. */
export interface Series extends Measurements {
  readonly index: number;
  /** Unique in the report. */
  readonly label: string;
  readonly variant: VariantRecord;
  readonly modelId: string;
  readonly engine: CellRecord["engine"];
  readonly isBaseline: boolean;
  /** Where speed was measured under several loads: this one. */
  readonly load?: Load;
  /** Where speed was measured under one load that has a memoryBudget: it. */
  readonly memoryBudget?: string;
  /** Where several runs are compared: the run's name. */
  readonly runName?: string;
  /** Of one calibration seed. */
  readonly seed?: number;
  /** One series a calibration seed, where there are several; the measurements are then their means. */
  readonly seeds?: readonly Series[];
  readonly style: SeriesStyle;
}

/**
 * Groups the cells of a run by variant, in plan order.
 *
 * Where a report merges several models or engines, the label names them, since
 * a variant's label is unique only within its run.
 *
 * @param run The cells.
 * @returns One series a variant, the baseline of each model first.
 */
export function collectSeries(run: RunData): Series[] {
  const measured = run.cells.filter((cell) => cell.measure !== "conversion");
  const several = {
    models: new Set(run.cells.map((cell) => cell.model.id)).size > 1,
    engines: new Set(measured.map(engineName)).size > 1,
  };
  const groups = new Map<string, CellRecord[]>();
  for (const cell of measured) append(groups, groupKey(cell), cell);
  // A conversion serves every engine that measured its variant.
  for (const cell of run.cells) {
    if (cell.measure !== "conversion") continue;
    const keys = [...groups].filter(([, [first]]) =>
      first !== undefined && nameOf(first) === nameOf(cell) &&
      first.model.id === cell.model.id
    ).map(([key]) => key);
    for (const key of keys.length > 0 ? keys : [groupKey(cell)]) {
      append(groups, key, cell);
    }
  }
  const named = baselineName(run);
  const memoryBudget = onlyBudget(run);
  const drafts = [...groups.values()].map((cells) => {
    const first = cells[0]!;
    const { load } = first;
    const suffix = [
      ...load === undefined ? [] : [loadText(load)],
      ...several.models ? [first.model.id] : [],
      ...several.engines ? [engineName(first)] : [],
    ];
    return {
      first,
      cells,
      suffix,
      label: [nameOf(first), ...suffix].join(" · "),
      isBaseline: first.variantLabel === named ||
        first.variant.method === named,
    };
  });
  drafts.sort((a, b) => Number(b.isBaseline) - Number(a.isBaseline));
  const styles = assignStyles(drafts.map((draft) => ({
    isBaseline: draft.isBaseline,
    variant: draft.first.variant,
  })));
  return drafts.map(({ first, cells, suffix, label, isBaseline }, index) => {
    const common = {
      index,
      variant: first.variant,
      modelId: first.model.id,
      engine: first.engine,
      isBaseline,
      ...(first.load === undefined ? {} : { load: first.load }),
      ...(memoryBudget === undefined ? {} : { memoryBudget }),
      style: styles[index]!,
    };
    const seeds = bySeed(cells).map(([seed, own]): Series => ({
      ...common,
      label: [own[0]!.variantLabel, ...suffix].join(" · "),
      seed,
      ...measurementsOf(own),
    }));
    return {
      ...common,
      label,
      ...(seeds.length === 0
        ? measurementsOf(cells)
        : { seeds, ...meanOverSeeds(seeds) }),
    };
  });
}

/** A series with its seeds one by one, for tables that list each. */
export function eachSeed(series: readonly Series[]): Series[] {
  return series.flatMap((one) => one.seeds ?? [one]);
}

/** The cells of each calibration seed, ascending; empty where none is named. */
function bySeed(cells: readonly CellRecord[]): [number, CellRecord[]][] {
  const seeds = new Map<number, CellRecord[]>();
  for (const cell of cells) {
    if (cell.calibrationSeed !== undefined && cell.variantGroup !== undefined) {
      append(seeds, cell.calibrationSeed, cell);
    }
  }
  return [...seeds].sort((a, b) => a[0] - b[0]);
}

/** What the seeds of a variant share, else the variant's label. */
function nameOf({ variantGroup, variantLabel }: CellRecord): string {
  return variantGroup ?? variantLabel;
}

/** The baseline of a series: of the same model, and of the same engine where there is one. */
export function baselineOf(
  series: Series,
  all: readonly Series[],
): Series | undefined {
  const candidates = all.filter((other) =>
    other.isBaseline && other.modelId === series.modelId &&
    other.runName === series.runName && isSameLoad(other, series)
  );
  return candidates.find((other) =>
    other.engine.name === series.engine.name &&
    other.engine.provider === series.engine.provider &&
    other.engine.dtype === series.engine.dtype
  ) ?? candidates[0];
}

/** The label of a series, where something beside it says the load. */
export function labelWithoutLoad(
  { label, load }: Pick<Series, "label" | "load">,
): string {
  return load === undefined ? label : label.replace(` · ${loadText(load)}`, "");
}

/** Speeds compare under one load only. */
function isSameLoad(a: Series, b: Series): boolean {
  return a.load === b.load ||
    a.load !== undefined && b.load !== undefined &&
      loadText(a.load) === loadText(b.load);
}

/** Mean NLL difference to the baseline in nats, with its 95 % interval. */
export interface Delta {
  readonly value: number;
  readonly ci95?: readonly [number, number];
}

/**
 * The recorded difference to the baseline, or the paired one of the recorded
 * windows where the baseline was measured in another shard or later.
 */
export function deltaNll(
  series: Series,
  all: readonly Series[],
  contextTokens: number,
): Delta | undefined {
  const own = series.perplexity.get(contextTokens);
  if (own === undefined || series.isBaseline) return undefined;
  if (own.deltaNll !== undefined) {
    return {
      value: own.deltaNll,
      ...(own.deltaNllCi95 === undefined ? {} : { ci95: own.deltaNllCi95 }),
    };
  }
  const base = baselineOf(series, all)?.perplexity.get(contextTokens);
  if (
    base === undefined || base.textSha256 !== own.textSha256 ||
    base.windowNll.length !== own.windowNll.length || own.windowNll.length === 0
  ) return undefined;
  const paired = pairedDelta(own.windowNll, base.windowNll);
  return {
    value: paired.deltaNll,
    ...(paired.deltaNllCi95 === undefined ? {} : { ci95: paired.deltaNllCi95 }),
  };
}

/** The window of the paper's perplexities. */
const USUAL_WINDOW = 2048;

/**
 * The context at which most series have a measurement; of equals the usual
 * window of 2,048 tokens, else the longest.
 *
 * @returns undefined where there is none.
 */
export function mainContext(
  all: readonly Series[],
  measure: "perplexity" | "divergence" = "perplexity",
): number | undefined {
  const counts = new Map<number, number>();
  for (const series of all) {
    for (const context of series[measure].keys()) {
      counts.set(context, (counts.get(context) ?? 0) + 1);
    }
  }
  const weight = (context: number) =>
    context === USUAL_WINDOW ? Infinity : context;
  return [...counts].sort((a, b) =>
    b[1] - a[1] || weight(b[0]) - weight(a[0])
  )[0]?.[0];
}

/** Contexts of a measure over all series, ascending. */
export function contextsOf(
  all: readonly Series[],
  measure: "perplexity" | "divergence" | "throughput",
): number[] {
  const contexts = new Set(all.flatMap((series) => [
    ...series[measure].keys(),
    ...(measure === "throughput" ? series.outOfMemory : []),
  ]));
  return [...contexts].sort((a, b) => a - b);
}

/** An engine as a reader names it: "onnx (cpu, f32)". */
export function engineName(of: Pick<CellRecord, "engine">): string {
  const { name, provider, dtype, cacheDtype } = of.engine;
  const cache = cacheDtype === undefined || cacheDtype === dtype
    ? undefined
    : `cache ${cacheDtype}`;
  const how = [provider, dtype, cache].filter((part) => part !== undefined);
  return `${name} (${how.join(", ")})`;
}

/** Records name their load only where there are several. */
function onlyBudget({ experiment }: RunData): string | undefined {
  const { measure } = experiment;
  const throughput = isObject(measure) ? measure["throughput"] : undefined;
  const budget = isObject(throughput) ? throughput["memoryBudget"] : undefined;
  return typeof budget === "string" ? budget : undefined;
}

function baselineName(run: RunData): string {
  const report = run.experiment["report"];
  const named = isObject(report) ? report["baseline"] : undefined;
  return typeof named === "string" &&
      run.cells.some((cell) =>
        cell.variantLabel === named || cell.variant.method === named
      )
    ? named
    : "original";
}

function groupKey(cell: CellRecord): string {
  const load = cell.load === undefined ? "" : loadText(cell.load);
  return JSON.stringify([nameOf(cell), cell.model.id, engineName(cell), load]);
}

function append<K, V>(groups: Map<K, V[]>, key: K, value: V): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [value]);
  else group.push(value);
}
