// Table cells of one quantity of one series: text, what qualifies it, and the
// values behind both.

import {
  formatDelta,
  formatNumber,
  formatPercent,
  formatPerplexity,
  formatPerplexityError,
  formatRate,
  formatRatio,
  formatSignificant,
} from "./format.ts";
import { baselineOf, deltaNll, type Series } from "./series.ts";
import { type Spread, spreadNote, spreadOf } from "./spread.ts";
import type { TableCell } from "./table.ts";

const NOTHING: TableCell = { text: "–", value: null };

/** Perplexity with its standard error over windows, or its deviation over seeds. */
export function perplexityCell(one: Series, context: number): TableCell {
  const metrics = one.perplexity.get(context);
  if (metrics === undefined) return NOTHING;
  const { value, stderr, windows } = metrics;
  const format = (error: number) => formatPerplexityError(value, error);
  const spread = spreadOf(one, (seed) => seed.perplexity.get(context)?.value);
  // Of exp(meanNll), to first order.
  const error = value * stderr;
  return {
    text: formatPerplexity(value),
    value,
    ...(spread !== undefined
      ? { note: spreadNote(spread, one, format) }
      : windows > 1
      ? { note: `± ${format(error)}` }
      : {}),
    fields: {
      [`perplexityStandardErrorAt${context}`]: windows > 1 ? error : undefined,
      ...spreadFields(`perplexityAt${context}`, spread),
    },
  };
}

/** Difference of the mean NLL to the baseline: 95 % interval, or deviation over seeds. */
export function deltaCell(
  one: Series,
  all: readonly Series[],
  context: number,
): TableCell {
  const delta = deltaNll(one, all, context);
  if (delta === undefined) return NOTHING;
  const spread = spreadOf(
    one,
    (seed) => deltaNll(seed, all, context)?.value,
  );
  const name = `deltaNllNatsAt${context}`;
  const [low, high] = delta.ci95 ?? [];
  return {
    text: formatDelta(delta.value),
    value: delta.value,
    ...(spread !== undefined
      ? { note: spreadNote(spread, one, (value) => formatNumber(value, 3)) }
      : low === undefined
      ? {}
      : { note: `[${formatDelta(low)}, ${formatDelta(high)}]` }),
    fields: {
      [`${name}Ci95Low`]: low,
      [`${name}Ci95High`]: high,
      ...spreadFields(name, spread),
    },
  };
}

/** KL divergence from the original with its standard error, or deviation over seeds. */
export function klCell(one: Series, context: number): TableCell {
  const metrics = one.divergence.get(context);
  if (metrics === undefined) return NOTHING;
  const { klNats, klStderr, windows } = metrics;
  const spread = spreadOf(one, (seed) => seed.divergence.get(context)?.klNats);
  const error = (value: number) => formatSignificant(value, 2);
  const name = `klNatsAt${context}`;
  return {
    text: formatSignificant(klNats, 3),
    value: klNats,
    ...(spread !== undefined
      ? { note: spreadNote(spread, one, error) }
      : windows > 1
      ? { note: `± ${error(klStderr)}` }
      : {}),
    fields: {
      [`${name}StandardError`]: windows > 1 ? klStderr : undefined,
      ...spreadFields(name, spread),
    },
  };
}

/** Share of predictions whose first choice is the original's. */
export function agreementCell(one: Series, context: number): TableCell {
  const metrics = one.divergence.get(context);
  if (metrics === undefined) return NOTHING;
  const spread = spreadOf(
    one,
    (seed) => seed.divergence.get(context)?.top1Agreement,
  );
  return {
    text: formatPercent(metrics.top1Agreement, 1),
    value: metrics.top1Agreement,
    ...(spread === undefined
      ? {}
      : { note: spreadNote(spread, one, (value) => formatPercent(value, 1)) }),
    fields: spreadFields(`top1AgreementAt${context}`, spread),
  };
}

/** Decoding speed with its ratio to the baseline's. */
export function decodeCell(
  one: Series,
  all: readonly Series[],
  context: number,
): TableCell {
  const metrics = one.throughput.get(context);
  if (metrics === undefined) {
    return one.outOfMemory.includes(context)
      ? { text: "no memory", value: null }
      : NOTHING;
  }
  const ratio = speedup(one, all, context);
  const spread = spreadOf(
    one,
    (seed) => seed.throughput.get(context)?.decodeTokensPerSecond,
  );
  const notes = [
    ...spread === undefined
      ? []
      : [spreadNote(spread, one, (value) => formatSignificant(value, 2))],
    ...ratio === undefined ? [] : [formatRatio(ratio)],
  ];
  const name = `decodeTokensPerSecondAt${context}`;
  return {
    text: formatRate(metrics.decodeTokensPerSecond),
    value: metrics.decodeTokensPerSecond,
    ...(notes.length === 0 ? {} : { note: notes.join(", ") }),
    fields: {
      [`decodeSpeedupAt${context}`]: ratio,
      ...spreadFields(name, spread),
    },
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

function spreadFields(
  name: string,
  spread: Spread | undefined,
): Record<string, number | undefined> {
  return spread === undefined ? {} : {
    [`${name}SeedDeviation`]: spread.count > 1 ? spread.deviation : undefined,
    [`${name}Seeds`]: spread.count,
  };
}
