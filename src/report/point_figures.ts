// Figures of one mark a variant over the size of its cache.

import {
  axis,
  type Figure,
  type Label,
  markerOf,
  plotText,
  runOf,
  spansDecades,
  type Trace,
} from "./figure.ts";
import { formatNumber } from "./format.ts";
import type { RunData } from "./load.ts";
import { dominates } from "./pareto.ts";
import { protocol } from "./protocol.ts";
import { mainContext, type Series } from "./series.ts";
import { errorMeaning, perplexityError, spreadOf } from "./spread.ts";

/** Up to so many points a name and an error bar each stay legible. */
const CLEAR_POINTS = 10;

/** A mark of a figure. */
export interface Point {
  readonly series: Series;
  readonly x: number;
  readonly y: number;
  /** Half the length of its error bar. */
  readonly error: number;
}

/** Perplexity over the numbers cached a token and layer. */
export function perplexityByCache(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const context = mainContext(series);
  if (context === undefined) return undefined;
  const points = cachePoints(series, (one) => {
    const metrics = one.perplexity.get(context);
    return metrics === undefined
      ? undefined
      : { y: metrics.value, error: perplexityError(one, context) };
  });
  const base = points.find((point) => point.series.isBaseline);
  return overCache(points, {
    id: "perplexity-by-cache",
    title: "Perplexity by cache size",
    axis: "perplexity",
    protocol: protocol(run, { perplexity: context }),
    ...(base === undefined ? {} : { base }),
  });
}

/** Divergence from the original over the numbers cached a token and layer. */
export function divergenceByCache(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const context = mainContext(series, "divergence");
  if (context === undefined) return undefined;
  const points = cachePoints(series, (one) => {
    const metrics = one.divergence.get(context);
    if (metrics === undefined) return undefined;
    const spread = spreadOf(
      one,
      (seed) => seed.divergence.get(context)?.klNats,
    );
    return {
      y: metrics.klNats,
      error: spread?.deviation ?? metrics.klStderr,
      note: `, top-1 agreement ${
        formatNumber(metrics.top1Agreement * 100, 1)
      } %`,
    };
  });
  return overCache(points, {
    id: "divergence-by-cache",
    title: "Divergence from the original by cache size",
    axis: "KL(original || variant), nats a token",
    protocol: protocol(run, { divergence: context }),
  });
}

interface CachePoint extends Point {
  readonly note?: string;
}

function cachePoints(
  series: readonly Series[],
  read: (
    one: Series,
  ) => Pick<CachePoint, "y" | "error" | "note"> | undefined,
): CachePoint[] {
  return series.flatMap((one) => {
    const value = read(one);
    return one.cache === undefined || value === undefined
      ? []
      : [{ series: one, x: one.cache.elementsPerTokenPerLayer, ...value }];
  });
}

function overCache(
  points: readonly CachePoint[],
  words: {
    readonly id: string;
    readonly title: string;
    readonly axis: string;
    readonly protocol: string;
    readonly base?: Point;
  },
): Figure | undefined {
  const xs = points.map((point) => point.x);
  if (new Set(xs).size < 2) return undefined;
  const { base } = words;
  const hasBars = points.length <= CLEAR_POINTS ||
    points.some(({ series }) => series.seeds !== undefined);
  const ys = points.flatMap((point) =>
    hasBars
      ? [point.y + point.error, Math.max(point.y - point.error, point.y / 2)]
      : [point.y]
  );
  const best = points.filter(({ x, y }) =>
    !points.some((other) => dominates([other.x, other.y], [x, y]))
  );
  return {
    id: words.id,
    title: words.title,
    caption:
      `Lower left is better. Lines join variants that differ in rank only${
        hasBars
          ? `; bars are ${errorMeaning(points.map(({ series }) => series))}`
          : ""
      }${
        base === undefined
          ? ""
          : `; the dashed line is the ${base.series.label}`
      }. ${words.protocol}`,
    height: 440,
    data: [
      ...(base === undefined ? [] : [{
        type: "scatter",
        mode: "lines",
        x: [0, 1e9],
        y: [base.y, base.y],
        line: { color: "muted", width: 1, dash: "dash" },
        ...runOf(base.series),
        hoverinfo: "skip",
        cliponaxis: true,
      }]),
      ...rankLines(points),
      ...points.map((point) =>
        pointTrace(point, words.axis, {
          hasBar: hasBars,
          ...(point.note === undefined ? {} : { note: point.note }),
        })
      ),
    ],
    layout: {
      xaxis: axis({
        title: "numbers cached a token and layer",
        values: xs,
        isLog: spansDecades(xs, 8),
        ...(new Set(xs).size <= 6
          ? { ticks: [...new Set(xs)].sort((a, b) => a - b) }
          : {}),
      }),
      yaxis: axis({ title: words.axis, values: ys, isLog: spansDecades(ys) }),
    },
    labels: pointLabels(points, best),
    key: points.map((point) => point.series),
  };
}

/** Thin lines through variants that differ in nothing but the rank. */
function rankLines(points: readonly Point[]): Trace[] {
  const groups = new Map<string, Point[]>();
  for (const point of points) {
    if (point.series.isBaseline) continue;
    const { kvLoraRank: _, ...rest } = point.series.variant;
    const key = JSON.stringify([
      rest,
      point.series.modelId,
      point.series.engine,
      point.series.runName,
    ]);
    groups.set(key, [...groups.get(key) ?? [], point]);
  }
  return [...groups.values()].filter((group) => group.length > 1).map(
    (group) => {
      const sorted = [...group].sort((a, b) => a.x - b.x);
      return {
        type: "scatter",
        mode: "lines",
        x: sorted.map((point) => point.x),
        y: sorted.map((point) => point.y),
        line: { color: "rule", width: 1.5 },
        ...runOf(sorted[0]!.series),
        hoverinfo: "skip",
      };
    },
  );
}

/**
 * One mark.
 *
 * @param point Where.
 * @param quantity What y is, for the reader who points at it.
 * @param look Whether it has its error bar, what else to say, and its marker if not the usual one.
 */
export function pointTrace(
  point: Point,
  quantity: string,
  look: {
    readonly hasBar?: boolean;
    readonly note?: string;
    readonly marker?: Readonly<Record<string, unknown>>;
  },
): Trace {
  return {
    type: "scatter",
    mode: "markers",
    name: plotText(point.series.label),
    ...runOf(point.series),
    x: [point.x],
    y: [point.y],
    error_y: {
      type: "data",
      array: [point.error],
      visible: look.hasBar === true && point.error > 0,
      color: point.series.style.color,
      thickness: 1,
      width: 3,
    },
    marker: { ...markerOf(point.series, 10), ...look.marker },
    hovertemplate: `${plotText(point.series.label)}<br>%{x:,.4~g}, ${
      plotText(quantity)
    } %{y:,.4~f}${plotText(look.note ?? "")}<extra></extra>`,
  };
}

/** Labels of all points, or of the best where there are too many to name them all. */
export function pointLabels(
  points: readonly Point[],
  best: readonly Point[],
): Label[] {
  const named = new Set(best.map((point) => point.series));
  return points.filter((point) =>
    points.length <= CLEAR_POINTS || named.has(point.series) ||
    point.series.isBaseline
  ).map((point) => ({
    kind: "point",
    x: point.x,
    y: point.y,
    text: plotText(point.series.label),
    ...runOf(point.series),
    color: point.series.style.color,
  }));
}
