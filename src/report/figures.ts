// The report's figures, each made only where its data exist.

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
import { isObject, type RunData } from "./load.ts";
import { byOption, keyValueBalance } from "./option_figures.ts";
import { calibrationProtocol, protocol } from "./protocol.ts";
import { contextsOf, mainContext, type Series } from "./series.ts";
import { perplexityTable, speedup, throughputTable } from "./tables.ts";

/**
 * Makes every figure that the measurements support. Those that the experiment
 * names come first, in its order.
 *
 * @param series All series.
 * @param run Their run.
 * @returns Figures as data.
 */
export function makeFigures(
  series: readonly Series[],
  run: RunData,
): Figure[] {
  const figures = [
    perplexityByCache(series, run),
    byOption(series, run, "freqFold"),
    byOption(series, run, "kvLoraRank"),
    keyValueBalance(series, run),
    perplexityByContext(series, run),
    throughputByContext(series, run),
    pareto(series, run),
    energyByLayer(series, run),
  ].filter((figure) => figure !== undefined);
  const report = run.experiment["report"];
  const named = isObject(report) ? report["figures"] : undefined;
  const order = Array.isArray(named) ? named : [];
  const place = (figure: Figure) => {
    const index = order.indexOf(figure.id);
    return index < 0 ? order.length : index;
  };
  return figures.sort((a, b) => place(a) - place(b));
}

function perplexityByCache(
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

function perplexityByContext(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const contexts = contextsOf(series, "perplexity");
  if (contexts.length < 2) return undefined;
  const shown = series.filter((one) => one.perplexity.size > 0);
  const ys = shown.flatMap((one) =>
    [...one.perplexity.values()].map((metrics) => metrics.value)
  );
  return {
    id: "perplexity-by-context",
    title: "Perplexity by window length",
    caption: `Every window length scores the same text. ${
      protocol(run, { perplexity: "all" })
    }`,
    height: heightFor(shown),
    data: shown.map((one) =>
      lineTrace(
        one,
        [...one.perplexity].map(([x, metrics]) => ({ x, y: metrics.value })),
        "perplexity",
      )
    ),
    layout: {
      xaxis: axis({
        title: "window, tokens",
        values: contexts,
        isLog: true,
        ticks: contexts,
      }),
      yaxis: axis({ title: "perplexity", values: ys, isLog: spansDecades(ys) }),
    },
    labels: shown.map((one) => {
      const [x, metrics] = [...one.perplexity].at(-1)!;
      return endLabel(one, x, metrics.value);
    }),
    key: shown,
    table: perplexityTable(series),
  };
}

function throughputByContext(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const shown = series.filter((one) => one.throughput.size > 0);
  if (shown.length === 0) return undefined;
  const contexts = [
    ...new Set(shown.flatMap((one) => [...one.throughput.keys()])),
  ].sort((a, b) => a - b);
  const ys = shown.flatMap((one) =>
    [...one.throughput.values()].map((metrics) => metrics.decodeTokensPerSecond)
  );
  const short = series.filter((one) => one.outOfMemory.length > 0).map((one) =>
    `${one.label} did not fit at ${
      one.outOfMemory.map((tokens) => formatNumber(tokens)).join(", ")
    }`
  );
  const isLog = spansDecades(ys);
  return {
    id: "throughput-by-context",
    title: "Decoding speed by context",
    caption: `Higher is better. ${protocol(run, { speed: true })}${
      short.length === 0 ? "" : ` Out of memory: ${short.join("; ")}.`
    }`,
    height: heightFor(shown),
    data: shown.map((one) =>
      lineTrace(
        one,
        [...one.throughput].map(([x, metrics]) => ({
          x,
          y: metrics.decodeTokensPerSecond,
        })),
        "tokens/s",
      )
    ),
    layout: {
      xaxis: axis({
        title: "context, tokens",
        values: contexts,
        isLog: contexts.length > 1,
        ticks: contexts,
      }),
      yaxis: axis({
        title: "decoded tokens a second",
        values: ys,
        isLog,
        fromZero: true,
      }),
    },
    labels: shown.map((one) => {
      const [x, metrics] = [...one.throughput].at(-1)!;
      return endLabel(one, x, metrics.decodeTokensPerSecond);
    }),
    key: shown,
    table: throughputTable(series),
  };
}

/** Accuracy against speed, at the longest context where most variants have both. */
function pareto(
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
    caption: `Lower right is better; the stepped line joins the ${
      front.length === 1 ? "variant" : `${front.length} variants`
    } that no other beats in both. Speed at ${
      formatNumber(context)
    } tokens of context. ${protocol(run, { perplexity: window, speed: true })}`,
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

function energyByLayer(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const shown = series.filter((one) =>
    (one.conversion?.keptEnergyByLayer.length ?? 0) > 1
  );
  if (shown.length === 0) return undefined;
  const points = (one: Series) =>
    one.conversion!.keptEnergyByLayer.map((kept, x) => ({ x, y: kept * 100 }));
  const all = shown.flatMap(points);
  return {
    id: "energy-by-layer",
    title: "Energy kept by the joint PCA, by layer",
    caption:
      `Share of the squared norm of the balanced keys and values of the calibration text that the latent keeps. ${
        calibrationProtocol(run)
      }`,
    height: heightFor(shown),
    data: shown.map((one) => lineTrace(one, points(one), "% kept", 6)),
    layout: {
      xaxis: {
        ...axis({ title: "layer", values: all.map((point) => point.x) }),
        tickmode: "auto",
        nticks: 16,
      },
      yaxis: axis({
        title: "energy kept",
        values: all.map((point) => point.y),
        suffix: " %",
      }),
    },
    labels: shown.map((one) => {
      const last = points(one).at(-1)!;
      return endLabel(one, last.x, last.y);
    }),
    key: shown,
  };
}

/** Up to so many points a name and an error bar each stay legible. */
const CLEAR_POINTS = 10;

interface Point {
  readonly series: Series;
  readonly x: number;
  readonly y: number;
  readonly error: number;
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

function lineTrace(
  one: Series,
  points: readonly { readonly x: number; readonly y: number }[],
  unit: string,
  size = 8,
): Trace {
  return {
    type: "scatter",
    mode: "lines+markers",
    name: plotText(one.label),
    x: points.map((point) => point.x),
    y: points.map((point) => point.y),
    line: {
      color: one.style.color,
      width: one.isBaseline ? 2.25 : 1.75,
      dash: one.style.dash,
    },
    marker: markerOf(one, size),
    hovertemplate: `${
      plotText(one.label)
    }<br>%{x:,}: %{y:,.4~g} ${unit}<extra></extra>`,
  };
}

/** Markers as characters, so that a label shows its line's. */
const GLYPHS: Readonly<Record<string, string>> = {
  circle: "●",
  square: "■",
  diamond: "◆",
  "triangle-up": "▲",
  cross: "✚",
  x: "✖",
  star: "★",
};

function endLabel(one: Series, x: number, y: number): Label {
  return {
    kind: "end",
    x,
    y,
    text: `${GLYPHS[one.style.symbol] ?? ""} ${plotText(one.label)}`.trim(),
    color: one.style.color,
  };
}

function ratioNote(
  one: Series,
  all: readonly Series[],
  context: number,
): string {
  const ratio = speedup(one, all, context);
  return ratio === undefined ? "" : `, ${ratio.toFixed(2)}× the baseline`;
}

/** Room for a label a line. */
function heightFor(shown: readonly Series[]): number {
  return Math.max(420, shown.length * 17 + 90);
}
