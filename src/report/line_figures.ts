// Figures of one line a variant: over context and over layers.

import type { ThroughputMetrics } from "../experiment/record.ts";
import {
  axis,
  type Figure,
  GLYPHS,
  type Label,
  markerOf,
  plotText,
  runOf,
  spansDecades,
  type Trace,
} from "./figure.ts";
import { formatNumber } from "./format.ts";
import type { RunData } from "./load.ts";
import { calibrationProtocol, protocol, stepsOf } from "./protocol.ts";
import { contextsOf, type Series } from "./series.ts";
import { errorBars, perplexityError, seedBars, spreadOf } from "./spread.ts";
import { perplexityTable, throughputTable } from "./measure_tables.ts";

/** Perplexity over the window length. */
export function perplexityByContext(
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
    caption: `Every window length scores the same text.${seedBars(shown)} ${
      protocol(run, { perplexity: "all" })
    }`,
    height: heightFor(shown),
    data: shown.map((one) =>
      lineTrace(
        one,
        [...one.perplexity].map(([x, metrics]) => ({
          x,
          y: metrics.value,
          error: one.seeds === undefined ? 0 : perplexityError(one, x),
        })),
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

/** Decoding speed over the context. */
export function throughputByContext(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const shown = series.filter((one) => one.throughput.size > 0);
  if (shown.length === 0) return undefined;
  const contexts = [
    ...new Set(shown.flatMap((one) => [...one.throughput.keys()])),
  ].sort((a, b) => a - b);
  const limited = shown.filter(({ throughput }) =>
    [...throughput.values()].some(({ roofline }) => roofline !== undefined)
  );
  const ys = shown.flatMap((one) =>
    [...one.throughput.values()].flatMap((metrics) => [
      speedOf(metrics),
      ...metrics.roofline === undefined
        ? []
        : [metrics.roofline.tokensPerSecond],
    ])
  );
  const short = series.filter((one) => one.outOfMemory.length > 0).map((one) =>
    `${one.label} did not fit at ${
      one.outOfMemory.map((tokens) => formatNumber(tokens)).join(", ")
    }`
  );
  const isLog = spansDecades(ys);
  const isRequests = shown.every(({ throughput }) =>
    [...throughput.values()].every(({ requests }) => requests !== undefined)
  );
  return {
    id: "throughput-by-context",
    title: isRequests ? "Output speed by context" : "Decoding speed by context",
    caption: `Higher is better.${
      isRequests
        ? " Whole requests: half of the context comes in, half goes out."
        : ""
    }${
      limited.length === 0
        ? ""
        : " Dotted: what the bytes of a step allow at the bandwidth of a copy in the same run."
    }${seedBars(shown)} ${protocol(run, { speed: true })}${
      short.length === 0 ? "" : ` Out of memory: ${short.join("; ")}.`
    }`,
    height: heightFor(shown),
    data: [
      ...limited.map(limitTrace),
      ...shown.map((one) =>
        lineTrace(
          one,
          [...one.throughput].map(([x, metrics]) => ({
            x,
            y: speedOf(metrics),
            error: spreadOf(
              one,
              (seed) => seed.throughput.get(x)?.decodeTokensPerSecond,
            )?.deviation ?? 0,
          })),
          "tokens/s",
        )
      ),
    ],
    layout: {
      xaxis: axis({
        title: "context, tokens",
        values: contexts,
        isLog: contexts.length > 1,
        ticks: contexts,
      }),
      yaxis: axis({
        title: isRequests
          ? "output tokens a second"
          : "decoded tokens a second",
        values: ys,
        isLog,
        fromZero: true,
      }),
    },
    labels: shown.map((one) => {
      const [x, metrics] = [...one.throughput].at(-1)!;
      return endLabel(one, x, speedOf(metrics));
    }),
    key: shown,
    table: throughputTable(series, stepsOf(run)),
  };
}

/** Of whole requests where they were timed, else of decoding. */
function speedOf(metrics: ThroughputMetrics): number {
  return metrics.requests?.outputTokensPerSecond ??
    metrics.decodeTokensPerSecond;
}

/** What the bytes of a step allow. */
function limitTrace(one: Series): Trace {
  const points = [...one.throughput].flatMap(([x, { roofline }]) =>
    roofline === undefined ? [] : [{ x, y: roofline.tokensPerSecond }]
  );
  return {
    type: "scatter",
    mode: "lines",
    name: `${plotText(one.label)}, limit`,
    ...runOf(one),
    x: points.map(({ x }) => x),
    y: points.map(({ y }) => y),
    line: { color: one.style.color, width: 1.25, dash: "dot" },
    hovertemplate: `limit of ${
      plotText(one.label)
    }<br>%{x:,}: %{y:,.4~g} tokens/s<extra></extra>`,
  };
}

/** The joint PCA's kept energy over the layers. */
export function energyByLayer(
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
  const layers = Math.max(...all.map(({ x }) => x)) + 1;
  const every = layers <= 12 ? 1 : layers <= 24 ? 2 : 5;
  const shares = shareTicks(all.map(({ y }) => y));
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
      xaxis: axis({
        title: "layer",
        values: all.map((point) => point.x),
        ticks: Array.from(
          { length: Math.ceil(layers / every) },
          (_, i) => i * every,
        ),
      }),
      yaxis: axis({
        title: "energy kept",
        values: shares,
        ticks: shares,
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

/** Round percentages around the values, not beyond 100 and never closer than 0.5. */
function shareTicks(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const step = [0.5, 1, 2, 5, 10].find((size) => (high - low) / size <= 6) ??
    20;
  const last = Math.min(100, Math.ceil(high / step) * step);
  const first = Math.min(Math.floor(low / step) * step, last - 2 * step);
  return Array.from(
    { length: Math.round((last - first) / step) + 1 },
    (_, i) => first + i * step,
  );
}

function lineTrace(
  one: Series,
  points: readonly {
    readonly x: number;
    readonly y: number;
    readonly error?: number;
  }[],
  unit: string,
  size = 8,
): Trace {
  return {
    type: "scatter",
    mode: "lines+markers",
    name: plotText(one.label),
    ...runOf(one),
    x: points.map((point) => point.x),
    y: points.map((point) => point.y),
    ...errorBars(points.map(({ error }) => error ?? 0), one.style.color),
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

function endLabel(one: Series, x: number, y: number): Label {
  return {
    kind: "end",
    x,
    y,
    text: `${GLYPHS[one.style.symbol] ?? ""} ${plotText(one.label)}`.trim(),
    ...runOf(one),
    color: one.style.color,
  };
}

/** Room for a label a line. */
function heightFor(shown: readonly Series[]): number {
  return Math.max(420, shown.length * 17 + 90);
}
