// What a number's ± is: over windows for one model, over calibration seeds
// where there are several.

import { meanAndStderr } from "../evaluation/perplexity.ts";
import type { Series } from "./series.ts";

/** Mean and sample standard deviation over calibration seeds. */
export interface Spread {
  readonly mean: number;
  /** 0 for a single seed. */
  readonly deviation: number;
  /** Seeds that were measured. */
  readonly count: number;
}

/**
 * The spread of a number over a series' calibration seeds.
 *
 * @param one The series.
 * @param read Reads the number of one seed; undefined where it was not measured.
 * @returns undefined for a series without seeds, or where none was measured.
 */
export function spreadOf(
  one: Series,
  read: (seed: Series) => number | undefined,
): Spread | undefined {
  const values = one.seeds?.map(read).filter((value) => value !== undefined);
  if (values === undefined || values.length === 0) return undefined;
  const { mean, stderr } = meanAndStderr(values);
  return {
    mean,
    deviation: stderr * Math.sqrt(values.length),
    count: values.length,
  };
}

/**
 * "± 0.31"; "± 0.31 (n = 2)" where not all of the series' seeds were measured.
 *
 * @param spread The spread.
 * @param one Its series, whose row says how many seeds there are.
 * @param format Formats the deviation.
 */
export function spreadNote(
  { deviation, count }: Spread,
  one: Series,
  format: (deviation: number) => string,
): string {
  const note = `± ${count === 1 ? "–" : format(deviation)}`;
  return count === one.seeds?.length ? note : `${note} (n = ${count})`;
}

/** Half the error bar of a perplexity: over seeds, else one standard error over windows. */
export function perplexityError(one: Series, context: number): number {
  const spread = spreadOf(one, (seed) => seed.perplexity.get(context)?.value);
  if (spread !== undefined) return spread.deviation;
  const metrics = one.perplexity.get(context);
  // Of exp(meanNll), to first order.
  return metrics === undefined ? 0 : metrics.value * metrics.stderr;
}

/** What the error bars of a figure are: "± one standard error over windows". */
export function errorMeaning(series: readonly Series[]): string {
  const parts = [
    ...series.some(({ seeds }) => seeds === undefined)
      ? ["± one standard error over windows"]
      : [],
    ...series.some(({ seeds }) => seeds !== undefined)
      ? [
        `± one standard deviation over ${seedCount(series)} calibration ${
          seedWord(series)
        }`,
      ]
      : [],
  ];
  return parts.join(", of variants with several seeds ");
}

/** Plotly's error bars; none where no number has an error. */
export function errorBars(
  errors: readonly number[],
  color: string,
): Record<string, unknown> {
  return errors.some((error) => error > 0)
    ? {
      error_y: { type: "data", array: errors, color, thickness: 1, width: 3 },
    }
    : {};
}

/** A sentence on bars that only variants with several calibration seeds have; "" without such. */
export function seedBars(series: readonly Series[]): string {
  return series.some(({ seeds }) => seeds !== undefined)
    ? ` Bars are ± one standard deviation over ${
      seedCount(series)
    } calibration ${seedWord(series)}.`
    : "";
}

function seedWord(series: readonly Series[]): string {
  return seedCount(series) === "1" ? "seed" : "seeds";
}

/** "1 seed", "3 seeds". */
export function seedsNoun(count: number): string {
  return `${count} ${count === 1 ? "seed" : "seeds"}`;
}

/** "3", or "2 to 3" where series differ. */
export function seedCount(series: readonly Series[]): string {
  const counts = series.flatMap(({ seeds }) => seeds?.length ?? []);
  const [low, high] = [Math.min(...counts), Math.max(...counts)];
  return low === high ? `${low}` : `${low} to ${high}`;
}
