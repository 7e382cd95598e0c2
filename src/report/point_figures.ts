// Figures of one mark a variant: perplexity against cache size and speed.

import {
  axis,
  type Figure,
  type Label,
  markerOf,
  plotText,
  spansDecades,
  type Trace,
} from "./figure.ts";
import { formatNumber } from "./format.ts";
import type { RunData } from "./load.ts";
import { protocol } from "./protocol.ts";
import { contextsOf, mainContext, type Series } from "./series.ts";
import { speedup } from "./tables.ts";

/** Up to so many points a name and an error bar each stay legible. */
const CLEAR_POINTS = 10;

interface Point {
  readonly series: Series;
  readonly x: number;
  readonly y: number;
  readonly error: number;
}

/** Perplexity over the numbers cached a token and layer. */
export function perplexityByCache(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const context = mainContext(series);
  if (context === undefined) return undefined;
  const points = series.filter((one) =>
    one.cache !== undefined && one.perplexity.has(context)
  ).map((one) => ({
    series: one,
    x: one.cache!.elementsPerTokenPerLayer,
    ...perplexityPoint(one, context),
  }));
  if (new Set(points.map((point) => point.x)).size < 2) return undefined;
  const xs = points.map((point) => point.x);
  const hasBars = points.length <= CLEAR_POINTS;
  const ys = points.flatMap((point) =>
    hasBars
      ? [point.y + point.error, Math.max(point.y - point.error, point.y / 2)]
      : [point.y]
  );
  const base = points.find((point) => point.series.isBaseline);
  return {
    id: "perplexity-by-cache",
    title: "Perplexity by cache size",
    caption:
      `Lower left is better. Lines join variants that differ in rank only${
        hasBars ? "; bars are ± one standard error over windows" : ""
      }${
        base === undefined
          ? ""
          : `; the dashed line is the ${base.series.label}`
      }. ${protocol(run, { perplexity: context })}`,
    height: 440,
    data: [
      ...(base === undefined ? [] : [{
        type: "scatter",
        mode: "lines",
        x: [0, 1e9],
        y: [base.y, base.y],
        line: { color: "muted", width: 1, dash: "dash" },
        hoverinfo: "skip",
        cliponaxis: true,
      }]),
      ...rankLines(points),
      ...points.map((point) => pointTrace(point, hasBars)),
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
      yaxis: axis({ title: "perplexity", values: ys, isLog: spansDecades(ys) }),
    },
    labels: pointLabels(
      points,
      paretoFront(points.map((point) => ({ ...point, x: -point.x }))),
    ),
    key: points.map((point) => point.series),
  };
}

/** Accuracy against speed, at the longest context where most variants have both. */
export function pareto(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const window = mainContext(series);
  const context = contextsOf(series, "throughput").findLast((tokens) =>
    series.filter((one) => one.throughput.has(tokens)).length >=
      Math.max(3, series.length / 2)
  );
  if (window === undefined || context === undefined) return undefined;
  const points = series.filter((one) =>
    one.perplexity.has(window) && one.throughput.has(context)
  ).map((one) => ({
    series: one,
    x: one.throughput.get(context)!.decodeTokensPerSecond,
    ...perplexityPoint(one, window),
  }));
  if (points.length < 3) return undefined;
  const front = paretoFront(points);
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  return {
    id: "pareto",
    title: "Perplexity against decoding speed",
    caption: `Lower right is better; ${
      front.length === 1
        ? `${front[0]!.series.label} is best in both`
        : `the stepped line joins the ${front.length} that no other beats in both`
    }. Speed at ${formatNumber(context)} tokens of context. ${
      protocol(run, { perplexity: window, speed: true })
    }`,
    height: 440,
    data: [
      {
        type: "scatter",
        mode: "lines",
        x: front.map((point) => point.x),
        y: front.map((point) => point.y),
        line: { color: "muted", width: 1, shape: "vh" },
        hoverinfo: "skip",
      },
      ...points.map((point) =>
        pointTrace(point, false, ratioNote(point.series, series, context))
      ),
    ],
    layout: {
      xaxis: axis({
        title: `decoded tokens a second at ${formatNumber(context)} tokens`,
        values: xs,
        isLog: spansDecades(xs),
      }),
      yaxis: axis({ title: "perplexity", values: ys, isLog: spansDecades(ys) }),
    },
    labels: pointLabels(points, front),
    key: points.map((point) => point.series),
  };
}

/** Points that no other point beats in both speed (x, more) and perplexity (y, less). */
export function paretoFront<
  P extends { readonly x: number; readonly y: number },
>(
  points: readonly P[],
): P[] {
  return points.filter((point) =>
    !points.some((other) =>
      other.x >= point.x && other.y <= point.y &&
      (other.x > point.x || other.y < point.y)
    )
  ).sort((a, b) => a.x - b.x);
}

function perplexityPoint(one: Series, context: number) {
  const metrics = one.perplexity.get(context)!;
  // Of exp(meanNll), to first order.
  return { y: metrics.value, error: metrics.value * metrics.stderr };
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
        hoverinfo: "skip",
      };
    },
  );
}

function pointTrace(point: Point, hasBar: boolean, note = ""): Trace {
  return {
    type: "scatter",
    mode: "markers",
    name: plotText(point.series.label),
    x: [point.x],
    y: [point.y],
    error_y: {
      type: "data",
      array: [point.error],
      visible: hasBar && point.error > 0,
      color: point.series.style.color,
      thickness: 1,
      width: 3,
    },
    marker: markerOf(point.series, 10),
    hovertemplate: `${
      plotText(point.series.label)
    }<br>%{x:,.4~g}, perplexity %{y:,.4~f}${note}<extra></extra>`,
  };
}

/** Labels of all points, or of the best where there are too many to name them all. */
function pointLabels(
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
    color: point.series.style.color,
  }));
}

function ratioNote(
  one: Series,
  all: readonly Series[],
  context: number,
): string {
  const ratio = speedup(one, all, context);
  return ratio === undefined ? "" : `, ${ratio.toFixed(2)}× the baseline`;
}
