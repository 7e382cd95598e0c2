// A series is one variant on one model and engine with all that was measured of
// it: a row of the headline table, a color of the figures. The color is given
// here, once, so that it is the same everywhere.

import { pairedDelta } from "../evaluation/perplexity.ts";
import type {
  CacheMetrics,
  CellRecord,
  ConversionMetrics,
  PerplexityMetrics,
  ThroughputMetrics,
  VariantRecord,
} from "../experiment/record.ts";
import { isObject, type RunData } from "./load.ts";

/** A variant with its measurements by context length in tokens. */
export interface Series {
  readonly index: number;
  /** Unique in the report. */
  readonly label: string;
  readonly variant: VariantRecord;
  readonly modelId: string;
  readonly engine: CellRecord["engine"];
  readonly isBaseline: boolean;
  readonly perplexity: ReadonlyMap<number, PerplexityMetrics>;
  readonly throughput: ReadonlyMap<number, ThroughputMetrics>;
  readonly cache?: CacheMetrics;
  readonly conversion?: ConversionMetrics;
  /** Contexts whose throughput cell ended for want of memory. */
  readonly outOfMemory: readonly number[];
  readonly style: SeriesStyle;
}

/** How a series is drawn. Colors are roles of the page's palette. */
export interface SeriesStyle {
  /** "ink" for the baseline, "c0" to "c6" for others. */
  readonly color: string;
  /** A plotly marker symbol. */
  readonly symbol: string;
  /** A plotly line dash. */
  readonly dash: string;
}

/** Colors besides the baseline's; palette.ts gives each its light and dark value. */
export const COLOR_COUNT = 7;

/** Plotly marker symbols of series other than the baseline. */
export const SYMBOLS = [
  "circle",
  "square",
  "diamond",
  "triangle-up",
  "cross",
  "x",
];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

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
      first?.variantLabel === cell.variantLabel &&
      first.model.id === cell.model.id
    ).map(([key]) => key);
    for (const key of keys.length > 0 ? keys : [groupKey(cell)]) {
      append(groups, key, cell);
    }
  }
  const named = baselineName(run);
  const drafts = [...groups.values()].map((cells) => {
    const first = cells[0]!;
    const parts = [first.variantLabel];
    if (several.models) parts.push(first.model.id);
    if (several.engines) parts.push(engineName(first));
    return {
      first,
      cells,
      label: parts.join(" · "),
      isBaseline: first.variantLabel === named ||
        first.variant.method === named,
    };
  });
  drafts.sort((a, b) => Number(b.isBaseline) - Number(a.isBaseline));
  const styles = assignStyles(drafts.map((draft) => ({
    isBaseline: draft.isBaseline,
    variant: draft.first.variant,
  })));
  return drafts.map(({ first, cells, label, isBaseline }, index) => ({
    index,
    label,
    variant: first.variant,
    modelId: first.model.id,
    engine: first.engine,
    isBaseline,
    ...measurements(cells),
    style: styles[index]!,
  }));
}

/** The baseline of a series: of the same model, and of the same engine where there is one. */
export function baselineOf(
  series: Series,
  all: readonly Series[],
): Series | undefined {
  const candidates = all.filter((other) =>
    other.isBaseline && other.modelId === series.modelId
  );
  return candidates.find((other) =>
    other.engine.name === series.engine.name &&
    other.engine.provider === series.engine.provider &&
    other.engine.dtype === series.engine.dtype
  ) ?? candidates[0];
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
 * The context at which most series have a perplexity; of equals the usual
 * window of 2,048 tokens, else the longest.
 *
 * @returns undefined where no perplexity was measured.
 */
export function mainContext(all: readonly Series[]): number | undefined {
  const counts = new Map<number, number>();
  for (const series of all) {
    for (const context of series.perplexity.keys()) {
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
  measure: "perplexity" | "throughput",
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
  return JSON.stringify([cell.variantLabel, cell.model.id, engineName(cell)]);
}

function append<K, V>(groups: Map<K, V[]>, key: K, value: V): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [value]);
  else group.push(value);
}

function measurements(cells: readonly CellRecord[]) {
  const perplexity = new Map<number, PerplexityMetrics>();
  const throughput = new Map<number, ThroughputMetrics>();
  const outOfMemory: number[] = [];
  let cache: CacheMetrics | undefined;
  let conversion: ConversionMetrics | undefined;
  for (const cell of cells) {
    if (
      cell.status === "oom" && cell.measure === "throughput" &&
      cell.contextTokens !== undefined
    ) outOfMemory.push(cell.contextTokens);
    if (cell.status !== "ok" || cell.metrics === undefined) continue;
    if (cell.measure === "perplexity") {
      perplexity.set(
        cell.contextTokens ?? cell.metrics.windowTokens,
        cell.metrics,
      );
    } else if (cell.measure === "throughput") {
      throughput.set(cell.contextTokens ?? 0, cell.metrics);
    } else if (cell.measure === "cache") {
      // The longest context states the measured bytes best.
      if (
        cache === undefined || cell.metrics.measuredTokens >
          cache.measuredTokens
      ) cache = cell.metrics;
    } else if (cell.measure === "conversion") conversion = cell.metrics;
  }
  return {
    perplexity: new Map([...perplexity].sort((a, b) => a[0] - b[0])),
    throughput: new Map([...throughput].sort((a, b) => a[0] - b[0])),
    outOfMemory,
    ...(cache === undefined ? {} : { cache }),
    ...(conversion === undefined ? {} : { conversion }),
  };
}

/**
 * Options that may tell members of one color apart, the first choice first:
 * what has the others in common then shares its color.
 */
const MARK_OPTIONS: readonly (readonly string[])[] = [
  ["kvLoraRank"],
  ["balanceKv"],
  ["kvLoraRank", "balanceKv"],
  ["kvLoraRank", "qkRopeHeadDim"],
  ["kvLoraRank", "qkRopeHeadDim", "balanceKv"],
];

/**
 * Gives every series its look. Few variants have a color each. Many variants
 * share a color by what they have in common and differ by symbol and dash,
 * where the palette suffices for that.
 */
function assignStyles(
  series: readonly {
    readonly isBaseline: boolean;
    readonly variant: VariantRecord;
  }[],
): SeriesStyle[] {
  const others = series.filter((one) => !one.isBaseline).map((one) =>
    one.variant
  );
  const isFew = others.length <= COLOR_COUNT;
  const places = isFew
    ? others.map((_, index) => ({ color: index, mark: index }))
    : MARK_OPTIONS.map((options) => placesBy(others, options)).find((found) =>
      found !== undefined
    ) ?? others.map((_, index) => ({
      color: index % COLOR_COUNT,
      mark: Math.floor(index / COLOR_COUNT),
    }));
  let next = 0;
  return series.map((one) => {
    if (one.isBaseline) return { color: "ink", symbol: "star", dash: "solid" };
    const { color, mark } = places[next++]!;
    return {
      color: `c${color}`,
      symbol: SYMBOLS[mark % SYMBOLS.length]!,
      dash: isFew ? "solid" : DASHES[mark % DASHES.length]!,
    };
  });
}

/** Colors by all but `options`, marks by `options`; undefined where that gives too many of either or the same look twice. */
function placesBy(
  variants: readonly VariantRecord[],
  options: readonly string[],
): { color: number; mark: number }[] | undefined {
  const families = new Map<string, number>();
  const marks = new Map<string, number>();
  const numberOf = (known: Map<string, number>, key: string) => {
    const number = known.get(key) ?? known.size;
    known.set(key, number);
    return number;
  };
  const places = variants.map((variant) => {
    const entries = Object.entries(variant);
    const rest = entries.filter(([key]) => !options.includes(key));
    return {
      color: numberOf(families, JSON.stringify(rest)),
      mark: numberOf(
        marks,
        JSON.stringify(options.map((option) => variant[option])),
      ),
    };
  });
  const looks = new Set(places.map(({ color, mark }) => `${color} ${mark}`));
  return families.size > 1 && families.size <= COLOR_COUNT &&
      marks.size <= SYMBOLS.length && looks.size === variants.length
    ? places
    : undefined;
}
