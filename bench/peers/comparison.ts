// What two sides' results say of each other. Arithmetic only.

import { CALIBRATION_TOKENS, type Result, VARIANTS } from "./job.ts";
import type { ResultName } from "./job.ts";
import type { Usage } from "./measured_process.ts";

/** Largest relative difference of two perplexities that are taken for equal. */
export const PERPLEXITY_TOLERANCE = 1e-3;

/** Least speed of calibration with hooks, in parts of transformers alone: a slower peer is a straw man. */
export const LEAST_HOOKED_SHARE = 0.9;

/** What a process put out, and what it took. */
export interface Run<Name extends ResultName> {
  readonly result: Result<Name>;
  readonly usage: Usage;
}

/** All that was measured. */
export interface Runs {
  readonly officialScore: Run<"official score">;
  /** One entry a lane. */
  readonly officialConvert: readonly Run<"official convert">[];
  readonly oursScore: Run<"ours score">;
  readonly oursTwoPasses: Run<"ours convert">;
  readonly oursOnePass: Run<"ours convert">;
  readonly oursCheck: Run<"ours check">;
}

/** One line of the comparison: smaller is better on both sides. */
export interface Comparison {
  readonly name: "window" | "twoPasses" | "onePass" | "memory";
  readonly unit: "s" | "bytes";
  readonly official: number;
  readonly ours: number;
  /** official / ours */
  readonly ratio: number;
  /** The least ratio that is asked for. */
  readonly target: number;
  readonly met: boolean;
  /** Whether `official` stands for more variants than were run. */
  readonly extrapolated: boolean;
}

/** Perplexities of both sides on the same windows. */
export interface PerplexityCheck {
  readonly model: "original" | "partial-rope" | "transmla";
  readonly official: number;
  readonly ours: number;
  readonly relativeDifference: number;
  readonly agrees: boolean;
}

/** Speeds of calibration, tokens a second. */
export interface CalibrationSpeed {
  /** transformers without hooks. */
  readonly plain: number;
  /** The same batches with hooks, in turns. */
  readonly hooked: number;
  /** hooked / plain */
  readonly share: number;
  readonly fair: boolean;
  /** The whole calibrations of the variants: on the original, on the partial-RoPE model. */
  readonly original: number;
  readonly partialRope: number;
  /** Ours, of both kinds of model, moments included. */
  readonly ours: number;
}

/** What the runs say. */
export interface Findings {
  readonly comparisons: readonly Comparison[];
  readonly checks: readonly PerplexityCheck[];
  readonly calibration: CalibrationSpeed;
  readonly official: {
    /** Variants run; the others are taken to be as long as their mean. */
    readonly variants: number;
    /** Peak memory after imports and weights, before any work. */
    readonly openBytes: number;
    /** Of one variant, by step: means. */
    readonly stageSeconds: Readonly<Record<string, number>>;
  };
  readonly ours: {
    readonly twoPasses: OursSeconds;
    readonly onePass: OursSeconds;
  };
}

/** Where our seconds go, summed over all variants. */
export interface OursSeconds {
  readonly calibrationSeconds: number;
  readonly calibrationRuns: number;
  readonly conversionSeconds: number;
}

/**
 * Compares.
 *
 * @param runs What was measured.
 * @param samples Calibration sequences.
 * @returns Ratios, checks and where the time goes.
 * @throws {RangeError} If the checked variant was not scored, or nothing was.
 */
export function compare(runs: Runs, samples: number): Findings {
  const { officialConvert, oursTwoPasses, oursOnePass } = runs;
  const converted = officialConvert.flatMap(({ result }) => result.variants);
  const stages = converted.map(({ stages }) => stages);
  const seconds = stages.map((stage) =>
    sum(Object.values(stage).map((took) => took.seconds))
  );
  const officialSeconds = mean(seconds) * VARIANTS.length;
  const extrapolated = converted.length < VARIANTS.length;
  const twoPasses = oursSeconds(oursTwoPasses.result);
  const onePass = oursSeconds(oursOnePass.result);
  const officialPeak = Math.max(
    ...officialConvert.map(({ result }) => result.peakRssBytes),
  );
  const oursPeak = Math.max(
    oursTwoPasses.usage.peakRssBytes,
    oursOnePass.usage.peakRssBytes,
  );
  const official = runs.officialScore.result.scores.original;
  const ours = runs.oursScore.result.scores;
  const tokens = samples * CALIBRATION_TOKENS;
  return {
    comparisons: [
      comparison("window", "s", [
        median(official.windowSeconds),
        median(ours.windowSeconds),
      ], 1),
      comparison(
        "twoPasses",
        "s",
        [officialSeconds, totalOf(twoPasses)],
        7,
        extrapolated,
      ),
      comparison(
        "onePass",
        "s",
        [officialSeconds, totalOf(onePass)],
        25,
        extrapolated,
      ),
      comparison("memory", "bytes", [officialPeak, oursPeak], 2),
    ],
    checks: checksOf(runs),
    calibration: {
      ...ratesOf(runs.officialScore.result.rates),
      original: tokens /
        mean(stages.map(({ calibrateOriginal }) => calibrateOriginal.seconds)),
      partialRope: tokens /
        mean(stages.map(({ calibratePartial }) => calibratePartial.seconds)),
      ours: tokens * twoPasses.calibrationRuns / twoPasses.calibrationSeconds,
    },
    official: {
      variants: converted.length,
      openBytes: Math.max(
        ...officialConvert.map(({ result }) => result.open.peakRssBytes),
      ),
      stageSeconds: Object.fromEntries(
        Object.keys(stages[0]!).map((name) => [
          name,
          mean(
            stages.map((stage) => stage[name as keyof typeof stage].seconds),
          ),
        ]),
      ),
    },
    ours: { twoPasses, onePass },
  };
}

function comparison(
  name: Comparison["name"],
  unit: Comparison["unit"],
  [official, ours]: readonly [number, number],
  target: number,
  extrapolated = false,
): Comparison {
  const ratio = official / ours;
  const met = ratio >= target;
  return { name, unit, official, ours, ratio, target, met, extrapolated };
}

function ratesOf(
  { plainTokensPerSecond, hookedTokensPerSecond }: Result<
    "official score"
  >["rates"],
) {
  const share = hookedTokensPerSecond / plainTokensPerSecond;
  return {
    plain: plainTokensPerSecond,
    hooked: hookedTokensPerSecond,
    share,
    fair: share >= LEAST_HOOKED_SHARE,
  };
}

function oursSeconds({ variants }: Result<"ours convert">): OursSeconds {
  return {
    calibrationSeconds: sum(variants.map((v) => v.calibrationSeconds)),
    calibrationRuns: sum(variants.map((v) => v.calibrationRuns)),
    conversionSeconds: sum(variants.map((v) => v.conversionSeconds)),
  };
}

function totalOf({ calibrationSeconds, conversionSeconds }: OursSeconds) {
  return calibrationSeconds + conversionSeconds;
}

function checksOf(runs: Runs): PerplexityCheck[] {
  const official = Object.assign(
    {},
    runs.officialScore.result.scores,
    ...runs.officialConvert.map(({ result }) => result.scores),
  ) as Record<string, { windowNll: number[] } | undefined>;
  const ours: Record<string, number[] | undefined> = {
    original: runs.oursScore.result.scores.windowNll,
    ...runs.oursCheck.result.scores,
  };
  return (["original", "partial-rope", "transmla"] as const).map((model) => {
    const theirs = perplexityOf(model, official[model]?.windowNll);
    const own = perplexityOf(model, ours[model]);
    const relativeDifference = own / theirs - 1;
    return {
      model,
      official: theirs,
      ours: own,
      relativeDifference,
      // NaN agrees with nothing.
      agrees: Math.abs(relativeDifference) <= PERPLEXITY_TOLERANCE,
    };
  });
}

function perplexityOf(model: string, nll: readonly number[] | undefined) {
  if (nll === undefined || nll.length === 0) {
    throw new RangeError(
      `Cannot compare ${model} as one side has not scored it`,
    );
  }
  return Math.exp(mean(nll));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

/** The middle one, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = (sorted.length - 1) / 2;
  return (sorted[Math.floor(half)]! + sorted[Math.ceil(half)]!) / 2;
}
