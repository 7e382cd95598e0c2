// Which variants no other beats: in perplexity, cache bytes a token and, where
// it was measured, decoding speed.

import { formatNumber, joinWords } from "./format.ts";
import { contextsOf, mainContext, type Series } from "./series.ts";

/** What was compared, and what came out of it. */
export interface ParetoFront {
  /** Window of the perplexities, tokens. */
  readonly window: number;
  /** Context of the speeds, tokens; absent where speed was not compared. */
  readonly speedContext?: number;
  /** Series that have all that is compared. */
  readonly judged: ReadonlySet<Series>;
  /** Of these, those that no other beats. */
  readonly front: ReadonlySet<Series>;
  /** Series with a perplexity and a cache size that lack the speed. */
  readonly unjudged: readonly Series[];
}

/**
 * Finds the Pareto front over perplexity (less is better), cache bytes a token
 * (less) and decoded tokens a second (more). Means are compared as they are,
 * errors aside.
 *
 * @param series All series.
 * @param withSpeed Whether speeds may be compared: they may not across machines. @default true
 * @returns null where fewer than two series have a perplexity and a cache size, or their perplexities are of different texts.
 */
export function paretoFront(
  series: readonly Series[],
  withSpeed = true,
): ParetoFront | null {
  const window = mainContext(series);
  if (window === undefined) return null;
  const sized = series.filter((one) =>
    one.perplexity.has(window) && one.cache !== undefined
  );
  const texts = sized.map((one) => one.perplexity.get(window)!.textSha256);
  if (sized.length < 2 || new Set(texts).size > 1) return null;
  const speedContext = withSpeed ? commonSpeedContext(sized) : undefined;
  const judged = speedContext === undefined
    ? sized
    : sized.filter((one) => one.throughput.has(speedContext));
  const costs = new Map(judged.map((one) => [one, [
    one.perplexity.get(window)!.value,
    one.cache!.bytesPerToken,
    ...speedContext === undefined
      ? []
      : [-one.throughput.get(speedContext)!.decodeTokensPerSecond],
  ]]));
  const front = judged.filter((one) =>
    !judged.some((other) => dominates(costs.get(other)!, costs.get(one)!))
  );
  return {
    window,
    ...(speedContext === undefined ? {} : { speedContext }),
    judged: new Set(judged),
    front: new Set(front),
    unjudged: sized.filter((one) => !judged.includes(one)),
  };
}

/** The context at which most series have a speed, the longest of equals; undefined where fewer than half have one. */
function commonSpeedContext(series: readonly Series[]): number | undefined {
  const timed = (tokens: number) =>
    series.filter((one) => one.throughput.has(tokens)).length;
  const [best] = contextsOf(series, "throughput").sort((a, b) =>
    timed(b) - timed(a) || b - a
  );
  return best !== undefined && timed(best) >= Math.max(2, series.length / 2)
    ? best
    : undefined;
}

/**
 * Whether the first is nowhere worse and somewhere better.
 *
 * @param a Costs, less is better.
 * @param b As many.
 */
export function dominates(a: readonly number[], b: readonly number[]): boolean {
  return a.every((cost, i) => cost <= b[i]!) &&
    a.some((cost, i) => cost < b[i]!);
}

/** What "Pareto-optimal" means for a front, in one or two sentences. */
export function paretoMeaning(front: ParetoFront | null): string {
  if (front === null) return "";
  const { window, speedContext, unjudged } = front;
  const compared = [
    `perplexity at ${formatNumber(window)} tokens`,
    "cache bytes a token",
    ...speedContext === undefined
      ? []
      : [`decoding speed at ${formatNumber(speedContext)} tokens`],
  ];
  const left = unjudged.length === 0
    ? ""
    : ` Not judged, as their speed was not measured there: ${
      joinWords(unjudged.map(({ label }) => label))
    }.`;
  return `Pareto-optimal: no other variant is as good in ${
    joinWords(compared)
  } and better in one, errors aside${
    speedContext === undefined ? " (speed is not compared)" : ""
  }.${left}`;
}
