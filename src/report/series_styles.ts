// The look of every series: color, symbol and dash, given once so that they are
// the same in all figures and tables.

import type { VariantRecord } from "../experiment/record.ts";

/** How a series is drawn. Colors are roles of the page's palette. */
export interface SeriesStyle {
  /** "ink" for the baseline, "c0" to "c6" for others. */
  readonly color: string;
  /** A plotly marker symbol. */
  readonly symbol: string;
  /** A plotly line dash. */
  readonly dash: string;
}

/** Colors besides the baseline's; palette.ts gives each its light and dark value. */
export const COLOR_COUNT = 7;

/** Plotly marker symbols of series other than the baseline. */
export const SYMBOLS = [
  "circle",
  "square",
  "diamond",
  "triangle-up",
  "cross",
  "x",
];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
/** Of baselines, one a load or model; limits are dotted. */
const BASELINE_DASHES = ["solid", "dash", "dashdot", "longdash"];

/**
 * Options that may tell members of one color apart, the first choice first:
 * what has the others in common then shares its color.
 */
const MARK_OPTIONS: readonly (readonly string[])[] = [
  ["kvLoraRank"],
  ["balanceKv"],
  ["kvLoraRank", "balanceKv"],
  ["kvLoraRank", "qkRopeHeadDim"],
  ["kvLoraRank", "qkRopeHeadDim", "balanceKv"],
];

/**
 * Gives every series its look. Few variants have a color each. Many variants
 * share a color by what they have in common and differ by symbol and dash,
 * where the palette suffices for that.
 */
export function assignStyles(
  series: readonly {
    readonly isBaseline: boolean;
    readonly variant: VariantRecord;
  }[],
): SeriesStyle[] {
  const others = series.filter((one) => !one.isBaseline).map((one) =>
    one.variant
  );
  const isFew = others.length <= COLOR_COUNT;
  const places = isFew
    ? others.map((_, index) => ({ color: index, mark: index }))
    : MARK_OPTIONS.map((options) => placesBy(others, options)).find((found) =>
      found !== undefined
    ) ?? others.map((_, index) => ({
      color: index % COLOR_COUNT,
      mark: Math.floor(index / COLOR_COUNT),
    }));
  let next = 0;
  let baselines = 0;
  return series.map((one) => {
    if (one.isBaseline) {
      const dash = BASELINE_DASHES[baselines++ % BASELINE_DASHES.length]!;
      return { color: "ink", symbol: "star", dash };
    }
    const { color, mark } = places[next++]!;
    return {
      color: `c${color}`,
      symbol: SYMBOLS[mark % SYMBOLS.length]!,
      dash: isFew ? "solid" : DASHES[mark % DASHES.length]!,
    };
  });
}

/** Colors by all but `options`, marks by `options`; undefined where that gives too many of either or the same look twice. */
function placesBy(
  variants: readonly VariantRecord[],
  options: readonly string[],
): { color: number; mark: number }[] | undefined {
  const families = new Map<string, number>();
  const marks = new Map<string, number>();
  const numberOf = (known: Map<string, number>, key: string) => {
    const number = known.get(key) ?? known.size;
    known.set(key, number);
    return number;
  };
  const places = variants.map((variant) => {
    const entries = Object.entries(variant);
    const rest = entries.filter(([key]) => !options.includes(key));
    return {
      color: numberOf(families, JSON.stringify(rest)),
      mark: numberOf(
        marks,
        JSON.stringify(options.map((option) => variant[option])),
      ),
    };
  });
  const looks = new Set(places.map(({ color, mark }) => `${color} ${mark}`));
  return families.size > 1 && families.size <= COLOR_COUNT &&
      marks.size <= SYMBOLS.length && looks.size === variants.length
    ? places
    : undefined;
}
