// The report's tables as data: text cells, ready for HTML and for Markdown.

import type { ThroughputMetrics } from "../experiment/record.ts";
import {
  formatBytes,
  formatDelta,
  formatNumber,
  formatPercent,
  formatPerplexity,
  formatPerplexityError,
  formatRate,
  formatRatio,
  formatSignificant,
} from "./format.ts";
import {
  baselineOf,
  contextsOf,
  deltaNll,
  mainContext,
  type Series,
} from "./series.ts";

/** A table, caption aside. */
export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

/** A column; neighbors of one group share a heading. */
export interface Column {
  readonly group?: string;
  readonly head: string;
  /** Group and head in few words, where a table has one line of headings. */
  readonly short?: string;
  readonly align: "left" | "right";
}

/** A row of as many cells as there are columns. */
export interface Row {
  readonly cells: readonly TableCell[];
  /** The series that the row describes; its mark is shown. */
  readonly series?: Series;
  readonly tone?: "baseline" | "bad";
}

/** A number and what qualifies it: an error, an interval, a ratio. */
export interface TableCell {
  readonly text: string;
  readonly note?: string;
}

/** Contexts of throughput that the headline table shows; the data below the figure has all. */
const HEADLINE_CONTEXTS = 4;

/**
 * The headline table: one row a variant.
 *
 * @param series All series.
 * @returns The table; a column without any value is left out.
 */
export function headlineTable(series: readonly Series[]): Table {
  const context = mainContext(series);
  const columns: Column[] = [{ head: "Variant", align: "left" }];
  const readers: ((one: Series) => TableCell)[] = [
    (one) => ({ text: one.label }),
  ];
  const add = (
    group: string | undefined,
    head: string,
    short: string,
    reader: (one: Series) => TableCell,
  ) => {
    columns.push({
      ...(group === undefined ? {} : { group }),
      head,
      short,
      align: "right",
    });
    readers.push(reader);
  };

  if (series.some((one) => one.cache !== undefined)) {
    const group = "KV cache";
    add(
      group,
      "numbers a token and layer",
      "cached numbers/token/layer",
      (one) => ({
        text: formatElements(one.cache?.elementsPerTokenPerLayer),
      }),
    );
    add(group, "bytes a token", "cache bytes/token", (one) => ({
      text: formatNumber(one.cache?.bytesPerToken),
    }));
    add(group, "change", "cache change", (one) => ({
      text: one.isBaseline || one.cache === undefined
        ? "–"
        : formatPercent(-one.cache.reduction),
    }));
  }
  if (context !== undefined) {
    const group = `Quality, ${formatNumber(context)}-token windows`;
    add(
      group,
      "perplexity",
      `perplexity at ${formatNumber(context)}`,
      (one) => perplexityCell(one, context),
    );
    add(group, "ΔNLL [95 % CI], nats", "ΔNLL [95 % CI], nats", (one) => {
      const delta = deltaNll(one, series, context);
      return {
        text: formatDelta(delta?.value),
        ...(delta?.ci95 === undefined ? {} : {
          note: `[${formatDelta(delta.ci95[0])}, ${
            formatDelta(delta.ci95[1])
          }]`,
        }),
      };
    });
  }
  for (const tokens of thin(contextsOf(series, "throughput"))) {
    add(
      "Decoding, tokens/s (ratio) by context",
      formatNumber(tokens),
      `tokens/s at ${formatNumber(tokens)}`,
      (one) => decodeCell(one, series, tokens),
    );
  }
  return {
    columns,
    rows: series.map((one) => ({
      cells: readers.map((reader) => reader(one)),
      series: one,
      ...(one.isBaseline ? { tone: "baseline" as const } : {}),
    })),
  };
}

/**
 * Speed and memory of every throughput cell.
 *
 * @param series All series.
 * @param steps Decode steps of a repetition, where known.
 */
export function throughputTable(
  series: readonly Series[],
  steps?: number,
): Table {
  return {
    columns: [
      { head: "Variant", align: "left" },
      { head: "context", align: "right" },
      { head: "batch", align: "right" },
      { head: "prefill, tokens/s", align: "right" },
      { head: "decode, tokens/s", align: "right" },
      { head: "ratio", align: "right" },
      { head: "step p50, ms", align: "right" },
      { head: "step p95, ms", align: "right" },
      { head: "times taken", align: "right" },
      { head: "weights and cache", align: "right" },
    ],
    rows: series.flatMap((one) =>
      [...one.throughput].map(([context, metrics]) => ({
        series: one,
        cells: [
          one.label,
          formatNumber(context),
          formatNumber(metrics.batchSize),
          formatRate(metrics.prefillTokensPerSecond),
          formatRate(metrics.decodeTokensPerSecond),
          formatRatio(speedup(one, series, context)),
          formatSignificant(metrics.p50Ms),
          formatSignificant(metrics.p95Ms),
          timesTaken(one, metrics, steps),
          formatBytes(metrics.memoryBytes),
        ].map((text) => ({ text })),
      }))
    ),
  };
}

/**
 * How often the clock was read. Steps that are submitted together have one time
 * for all; earlier records of such an engine have the steps, and are shown so.
 */
function timesTaken(
  { engine }: Series,
  { decodeSamples, repetitions }: ThroughputMetrics,
  steps: number | undefined,
): string {
  const isSteps = engine.name === "webgpu" && steps !== undefined &&
    steps > 1 && decodeSamples === repetitions * steps;
  return formatNumber(decodeSamples) + (isSteps ? " steps" : "");
}

/** Perplexity at every context, a row a variant. */
export function perplexityTable(series: readonly Series[]): Table {
  const contexts = contextsOf(series, "perplexity");
  return {
    columns: [
      { head: "Variant", align: "left" },
      ...contexts.map((context): Column => ({
        group: "Perplexity by window length, tokens",
        head: formatNumber(context),
        align: "right",
      })),
    ],
    rows: series.filter((one) => one.perplexity.size > 0).map((one) => ({
      series: one,
      cells: [
        { text: one.label },
        ...contexts.map((context) => perplexityCell(one, context)),
      ],
    })),
  };
}

/** Decoding speed relative to the baseline at one context. */
export function speedup(
  one: Series,
  all: readonly Series[],
  contextTokens: number,
): number | undefined {
  const own = one.throughput.get(contextTokens)?.decodeTokensPerSecond;
  const base = baselineOf(one, all)?.throughput.get(contextTokens)
    ?.decodeTokensPerSecond;
  return one.isBaseline || own === undefined || base === undefined
    ? undefined
    : own / base;
}

function perplexityCell(one: Series, context: number): TableCell {
  const metrics = one.perplexity.get(context);
  if (metrics === undefined) return { text: "–" };
  // Of exp(meanNll), to first order.
  const error = metrics.value * metrics.stderr;
  return {
    text: formatPerplexity(metrics.value),
    ...(metrics.windows > 1
      ? { note: `± ${formatPerplexityError(metrics.value, error)}` }
      : {}),
  };
}

function decodeCell(
  one: Series,
  all: readonly Series[],
  context: number,
): TableCell {
  const metrics = one.throughput.get(context);
  if (metrics === undefined) {
    return {
      text: one.outOfMemory.includes(context) ? "no memory" : "–",
    };
  }
  const ratio = speedup(one, all, context);
  return {
    text: formatRate(metrics.decodeTokensPerSecond),
    ...(ratio === undefined ? {} : { note: formatRatio(ratio) }),
  };
}

/** First, last and evenly spaced contexts between, at most HEADLINE_CONTEXTS. */
function thin(contexts: readonly number[]): readonly number[] {
  if (contexts.length <= HEADLINE_CONTEXTS) return contexts;
  return Array.from(
    { length: HEADLINE_CONTEXTS },
    (_, i) =>
      contexts[
        Math.round(i * (contexts.length - 1) / (HEADLINE_CONTEXTS - 1))
      ]!,
  );
}

/** A mean over layers may be fractional where layers differ. */
function formatElements(value: number | undefined): string {
  return formatNumber(
    value,
    value === undefined || Number.isInteger(value) ? 0 : 1,
  );
}
