// The Pareto front over perplexity, cache bytes and decoding speed, seen from
// two sides: over the cache with the speed as the marks' size, and over the
// speed with the cache as their size.

import { axis, type Figure, spansDecades, type Trace } from "./figure.ts";
import { formatNumber, joinWords } from "./format.ts";
import type { RunData } from "./load.ts";
import { type ParetoFront, paretoFront } from "./pareto.ts";
import { type Point, pointLabels, pointTrace } from "./point_figures.ts";
import { protocol } from "./protocol.ts";
import { speedup } from "./quantities.ts";
import type { Series } from "./series.ts";
import { perplexityError } from "./spread.ts";

/** How much of a dominated mark shines through. */
const DIMMED = 0.3;

/** Diameter in pixels of the mark with the largest third number; areas are in proportion. */
const LARGEST = 17;

/** Fewer than so many points have no front worth a figure. */
const FEWEST = 3;

/** Perplexity over cache bytes; a mark's area is the decoding speed, where it was measured. */
export function paretoByCache(
  series: readonly Series[],
  run: RunData,
  front: ParetoFront | null = paretoFront(series),
): Figure | undefined {
  if (front === null) return undefined;
  const { window, speedContext } = front;
  const points = pointsOf(
    [...front.judged, ...front.unjudged],
    window,
    (one) => one.cache!.bytesPerToken,
  );
  if (
    points.length < FEWEST || new Set(points.map(({ x }) => x)).size < 2
  ) return undefined;
  const size = speedContext === undefined
    ? undefined
    : (one: Series) => one.throughput.get(speedContext)?.decodeTokensPerSecond;
  return figureOf(points, front, run, {
    id: "pareto",
    title: speedContext === undefined
      ? "Pareto front: perplexity and cache"
      : "Pareto front: perplexity, cache and speed",
    direction: "Lower left is better",
    axis: "cache bytes a token",
    ...(size === undefined ? {} : { size }),
    sizeMeaning: speedContext === undefined
      ? "Speed was not measured of most variants, or not on one machine, and is not compared."
      : `A mark’s area is its decoding speed at ${
        formatNumber(speedContext)
      } tokens${
        front.unjudged.length === 0
          ? ""
          : "; rings were not timed there and are not judged"
      }.`,
    note: (one) =>
      speedContext === undefined ? "" : speedNote(one, series, speedContext),
  });
}

/** Perplexity over decoding speed; a mark's area is its cache. */
export function paretoBySpeed(
  series: readonly Series[],
  run: RunData,
  front: ParetoFront | null = paretoFront(series),
): Figure | undefined {
  if (front === null || front.speedContext === undefined) return undefined;
  const { window, speedContext } = front;
  const points = pointsOf(
    [...front.judged],
    window,
    (one) => one.throughput.get(speedContext)!.decodeTokensPerSecond,
  );
  if (points.length < FEWEST) return undefined;
  return figureOf(points, front, run, {
    id: "pareto-speed",
    title: "Pareto front: perplexity against decoding speed",
    direction: "Lower right is better",
    axis: `decoded tokens a second at ${formatNumber(speedContext)} tokens`,
    size: (one) => one.cache!.bytesPerToken,
    sizeMeaning: `A mark’s area is its cache bytes a token, less is better.${
      front.unjudged.length === 0
        ? ""
        : ` Not timed there, so not shown: ${
          joinWords(front.unjudged.map(({ label }) => label))
        }.`
    }`,
    note: (one) =>
      `, ${formatNumber(one.cache!.bytesPerToken)} cache bytes a token`,
  });
}

interface View {
  readonly id: string;
  readonly title: string;
  readonly direction: string;
  readonly axis: string;
  /** The third number; absent where there is none. */
  readonly size?: (one: Series) => number | undefined;
  readonly sizeMeaning: string;
  readonly note: (one: Series) => string;
}

function figureOf(
  points: readonly Point[],
  front: ParetoFront,
  run: RunData,
  view: View,
): Figure {
  const best = points.filter(({ series }) => front.front.has(series));
  const xs = points.map(({ x }) => x);
  const ys = points.map(({ y }) => y);
  const largest = Math.max(
    ...points.map(({ series }) => view.size?.(series) ?? 0),
  );
  const marker = ({ series }: Point): Record<string, unknown> => {
    const size = view.size?.(series);
    return {
      ...(view.size === undefined ? {} : {
        size: size === undefined
          ? LARGEST / 2
          : LARGEST * Math.sqrt(size / largest),
      }),
      ...(front.judged.has(series)
        ? { opacity: front.front.has(series) ? 1 : DIMMED }
        : {
          symbol: "circle-open",
          line: { color: series.style.color, width: 1.5 },
        }),
    };
  };
  // Dimmed marks lie under those of the front.
  const drawn = [...points].sort((a, b) =>
    Number(front.front.has(a.series)) - Number(front.front.has(b.series))
  );
  return {
    id: view.id,
    title: view.title,
    caption: `${view.direction}. ${
      best.length === 1
        ? `No other variant is as good as ${best[0]!.series.label}`
        : `${
          best.length === front.judged.size
            ? `All ${formatNumber(best.length)}`
            : `${formatNumber(best.length)} of ${
              formatNumber(front.judged.size)
            }`
        } variants are beaten by no other`
    } in ${
      front.speedContext === undefined
        ? "perplexity and cache bytes"
        : "perplexity, cache bytes and speed together"
    }, errors aside${
      best.length === front.judged.size ? "" : "; the others are dimmed"
    }. ${view.sizeMeaning} ${
      protocol(run, {
        perplexity: front.window,
        ...(front.speedContext === undefined ? {} : { speed: true }),
      })
    }`,
    height: 440,
    data: [
      ...front.speedContext === undefined ? [staircase(best)] : [],
      ...drawn.map((point) =>
        pointTrace(point, "perplexity", {
          note: view.note(point.series),
          marker: marker(point),
        })
      ),
    ],
    layout: {
      xaxis: axis({ title: view.axis, values: xs, isLog: spansDecades(xs, 8) }),
      yaxis: axis({ title: "perplexity", values: ys, isLog: spansDecades(ys) }),
    },
    labels: pointLabels(best, best),
    key: points.map(({ series }) => series),
  };
}

/** The border of what is reached, where the front is of two numbers. */
function staircase(best: readonly Point[]): Trace {
  const sorted = [...best].sort((a, b) => a.x - b.x);
  return {
    type: "scatter",
    mode: "lines",
    x: sorted.map(({ x }) => x),
    y: sorted.map(({ y }) => y),
    line: { color: "muted", width: 1, shape: "hv" },
    hoverinfo: "skip",
  };
}

function pointsOf(
  series: readonly Series[],
  window: number,
  x: (one: Series) => number,
): Point[] {
  return series.map((one) => ({
    series: one,
    x: x(one),
    y: one.perplexity.get(window)!.value,
    error: perplexityError(one, window),
  }));
}

function speedNote(
  one: Series,
  all: readonly Series[],
  context: number,
): string {
  const speed = one.throughput.get(context)?.decodeTokensPerSecond;
  if (speed === undefined) return ", speed not measured";
  const ratio = speedup(one, all, context);
  return `, ${formatNumber(speed)} tokens/s${
    ratio === undefined ? "" : ` (${ratio.toFixed(2)}×)`
  }`;
}
