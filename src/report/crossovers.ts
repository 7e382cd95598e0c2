// From which context on a variant is faster than its baseline under the same load.

import { formatNumber, formatRatio } from "./format.ts";
import { speedup } from "./quantities.ts";
import { baselineOf, contextsOf, type Series } from "./series.ts";
import { numberCell, type Table, type TableCell } from "./table.ts";

/** Tokens a second that compare: of decode steps, or of whole requests. */
type Compared = "decode" | "output";

/** A variant's speed over its baseline's at a context; Infinity where only it fits, 0 where only the baseline does. */
interface Ratio {
  readonly context: number;
  readonly ratio: number;
}

/**
 * From which context on each variant is faster, with its largest ratio.
 *
 * @param series All series.
 * @param what What compares. @default whole requests where only these were timed
 * @returns A row a variant and load of which two contexts or more compare.
 */
export function crossoverTable(
  series: readonly Series[],
  what: Compared = comparedIn(series),
): Table {
  return {
    columns: [
      { head: "Variant", name: "variant", align: "left" },
      {
        head: "faster than the baseline",
        name: "fasterFromContextTokens",
        align: "left",
      },
      { head: "largest ratio", name: "largestRatio", align: "right" },
      {
        head: "at a context of",
        name: "largestRatioContextTokens",
        align: "right",
      },
    ],
    rows: series.filter((one) => !one.isBaseline).flatMap((one) => {
      const ratios = ratiosOf(one, series, what);
      if (ratios.length < 2) return [];
      const best = largestOf(ratios);
      return [{
        series: one,
        cells: [
          { text: one.label },
          whereFaster(ratios),
          numberCell(best?.ratio, formatRatio),
          numberCell(best?.context, formatNumber),
        ],
      }];
    }),
  };
}

/** What the table compares, in sentences. */
export function crossoverMeaning(
  series: readonly Series[],
): string {
  const speed = comparedIn(series) === "output"
    ? "Output tokens a second of whole requests"
    : "Decoded tokens a second";
  return `${speed} over the baseline’s under the same load, at the contexts that were timed; the spread of the times is not counted.`;
}

function comparedIn(series: readonly Series[]): Compared {
  const timed = series.flatMap(({ throughput }) => [...throughput.values()]);
  return timed.length > 0 &&
      timed.every(({ requests }) => requests !== undefined)
    ? "output"
    : "decode";
}

function ratiosOf(
  one: Series,
  series: readonly Series[],
  what: Compared,
): Ratio[] {
  const base = baselineOf(one, series);
  if (base === undefined) return [];
  return contextsOf([one, base], "throughput").flatMap((context) => {
    const ratio = what === "decode"
      ? speedup(one, series, context)
      : outputRatio(one, base, context);
    if (ratio !== undefined) return [{ context, ratio }];
    if (one.throughput.has(context) && base.outOfMemory.includes(context)) {
      return [{ context, ratio: Infinity }];
    }
    return one.outOfMemory.includes(context) && base.throughput.has(context)
      ? [{ context, ratio: 0 }]
      : [];
  });
}

function outputRatio(
  one: Series,
  base: Series,
  context: number,
): number | undefined {
  const own = one.throughput.get(context)?.requests?.outputTokensPerSecond;
  const of = base.throughput.get(context)?.requests?.outputTokensPerSecond;
  return own === undefined || of === undefined ? undefined : own / of;
}

/** Of the contexts that both were timed at. */
function largestOf(ratios: readonly Ratio[]): Ratio | undefined {
  return ratios.filter(({ ratio }) => ratio > 0 && ratio < Infinity)
    .toSorted((a, b) => b.ratio - a.ratio)[0];
}

function whereFaster(ratios: readonly Ratio[]): TableCell {
  const last = ratios.findLastIndex(({ ratio }) => ratio <= 1);
  const first = ratios[last + 1];
  if (first === undefined) {
    // A variant may gain at short contexts and lose, or not fit, at long ones.
    return ratios.some(({ ratio }) => ratio > 1)
      ? {
        text: `not at ${formatNumber(ratios[last]!.context)}, the longest`,
        value: null,
      }
      : { text: "at no context", value: null };
  }
  const from = `from ${formatNumber(first.context)}`;
  const best = largestOf(ratios);
  // To fit where the other does not is a gain, but not in speed.
  if (best === undefined || best.ratio <= 1) {
    return {
      text: `at no context; ${from} the baseline does not fit`,
      value: null,
    };
  }
  return {
    text: last < 0 ? "at every context" : `${from} on`,
    value: first.context,
  };
}
