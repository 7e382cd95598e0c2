// The headline table: cache, quality, divergence and speed, one row a variant.

import { formatNumber, formatPercent } from "./format.ts";
import { type ParetoFront, paretoFront } from "./pareto.ts";
import {
  agreementCell,
  decodeCell,
  deltaCell,
  klCell,
  perplexityCell,
} from "./quantities.ts";
import { contextsOf, mainContext, type Series } from "./series.ts";
import { seedsNoun } from "./spread.ts";
import {
  type Column,
  numberCell,
  type Table,
  type TableCell,
} from "./table.ts";

/** Contexts of throughput that the headline table shows; the data below the figure has all. */
const HEADLINE_CONTEXTS = 4;

interface Quantity {
  readonly column: Column;
  read(one: Series): TableCell;
}

/**
 * The headline table: one row a variant.
 *
 * @param series All series.
 * @param front The Pareto front, null where there is none to show. @default that of the series
 * @returns The table; a column without any value is left out.
 */
export function headlineTable(
  series: readonly Series[],
  front: ParetoFront | null = paretoFront(series),
): Table {
  const quantities = [
    ...cacheQuantities(series),
    ...qualityQuantities(series),
    ...divergenceQuantities(series),
    ...speedQuantities(series),
    ...front === null ? [] : [paretoQuantity(front)],
  ];
  const isCompared = series.some(({ runName }) => runName !== undefined);
  return {
    columns: [
      { head: "Variant", name: "variant", align: "left" },
      ...isCompared
        ? [{ head: "Run", name: "run", align: "left" as const }]
        : [],
      ...quantities.map(({ column }) => column),
    ],
    rows: series.map((one) => ({
      cells: [
        {
          text: one.label,
          ...(one.seeds === undefined
            ? {}
            : { note: `n = ${seedsNoun(one.seeds.length)}` }),
          fields: { calibrationSeeds: one.seeds?.length },
        },
        ...isCompared ? [{ text: one.runName ?? "–" }] : [],
        ...quantities.map(({ read }) => read(one)),
      ],
      series: one,
      ...(one.isBaseline ? { tone: "baseline" as const } : {}),
    })),
  };
}

function cacheQuantities(series: readonly Series[]): Quantity[] {
  if (!series.some((one) => one.cache !== undefined)) return [];
  const group = "KV cache";
  return [
    {
      column: {
        group,
        head: "numbers a token and layer",
        short: "cached numbers/token/layer",
        name: "cachedNumbersPerTokenPerLayer",
        about:
          "Numbers that the cache keeps a token and layer, mean over layers",
        align: "right",
      },
      read: (one) =>
        numberCell(one.cache?.elementsPerTokenPerLayer, formatElements),
    },
    {
      column: {
        group,
        head: "bytes a token",
        short: "cache bytes/token",
        name: "cacheBytesPerToken",
        about: "Bytes that the cache of all layers takes a token",
        align: "right",
      },
      read: (one) => numberCell(one.cache?.bytesPerToken, formatNumber),
    },
    {
      column: {
        group,
        head: "change",
        short: "cache change",
        name: "cacheChangeRatio",
        about: "Change of the cache’s bytes against the original model’s",
        align: "right",
      },
      read: (one) => ({
        text: one.isBaseline || one.cache === undefined
          ? "–"
          : formatPercent(-one.cache.reduction),
        value: one.cache === undefined ? null : -one.cache.reduction || 0,
      }),
    },
  ];
}

function qualityQuantities(series: readonly Series[]): Quantity[] {
  const context = mainContext(series);
  if (context === undefined) return [];
  const tokens = formatNumber(context);
  const group = `Quality, ${tokens}-token windows`;
  return [
    {
      column: {
        group,
        head: "perplexity",
        short: `perplexity at ${tokens}`,
        name: `perplexityAt${context}`,
        about: `Perplexity of windows of ${tokens} tokens; less is better`,
        align: "right",
      },
      read: (one) => perplexityCell(one, context),
    },
    {
      column: {
        group,
        head: "ΔNLL [95 % CI], nats",
        short: "ΔNLL [95 % CI], nats",
        name: `deltaNllNatsAt${context}`,
        about:
          "Mean negative log-likelihood a token minus the baseline’s on the same windows",
        align: "right",
      },
      read: (one) => deltaCell(one, series, context),
    },
  ];
}

function divergenceQuantities(series: readonly Series[]): Quantity[] {
  const context = mainContext(series, "divergence");
  if (context === undefined) return [];
  const tokens = formatNumber(context);
  const group = `Divergence, ${tokens}-token windows`;
  return [
    {
      column: {
        group,
        head: "KL, nats",
        short: `KL at ${tokens}, nats`,
        name: `klNatsAt${context}`,
        about:
          "KL(original || variant) a predicted token over the whole vocabulary; less is better",
        align: "right",
      },
      read: (one) => klCell(one, context),
    },
    {
      column: {
        group,
        head: "top-1 agreement",
        short: `top-1 agreement at ${tokens}`,
        name: `top1AgreementAt${context}`,
        about:
          "Share of predictions whose most likely token is the original’s; more is better",
        align: "right",
      },
      read: (one) => agreementCell(one, context),
    },
  ];
}

function speedQuantities(series: readonly Series[]): Quantity[] {
  return thin(contextsOf(series, "throughput")).map((tokens) => ({
    column: {
      group: "Decoding, tokens/s (ratio) by context",
      head: formatNumber(tokens),
      short: `tokens/s at ${formatNumber(tokens)}`,
      name: `decodeTokensPerSecondAt${tokens}`,
      about: `Decoded tokens a second behind ${
        formatNumber(tokens)
      } cached tokens; × relative to the baseline; more is better`,
      align: "right",
    },
    read: (one) => decodeCell(one, series, tokens),
  }));
}

function paretoQuantity({ judged, front }: ParetoFront): Quantity {
  return {
    column: {
      head: "Pareto-optimal",
      name: "paretoOptimal",
      about:
        "Whether no other variant is as good in all that is compared and better in one",
      align: "left",
    },
    read: (one) =>
      !judged.has(one)
        ? { text: "–", value: null }
        : front.has(one)
        ? { text: "yes", value: true }
        : { text: "no", value: false },
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
