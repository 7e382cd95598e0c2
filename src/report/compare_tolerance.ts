// Whether a run is worse than another by more than is allowed, for continuous
// integration.

import { InputError } from "../base/errors.ts";
import type { Load } from "../experiment/record.ts";
import { nearestName } from "../text/nearest_name.ts";
import type { CellPair, Comparison, LoneCell } from "./compare.ts";

/** How much worse a metric may become. */
export interface Tolerance {
  readonly metric: string;
  readonly value: number;
  /** Whether `value` is a part of the first run's figure; else it is in the metric's unit. */
  readonly isRelative: boolean;
}

/** A pair that is not within a tolerance. */
export interface Violation {
  readonly variantLabel: string;
  readonly contextTokens?: number;
  readonly load?: Load;
  readonly tolerance: Tolerance;
  /** How much worse; absent where it cannot be told. */
  readonly worseBy?: number;
  /** "perplexity.value is worse by 1.2 %: allowed 0.5 %", or why it cannot be told. */
  readonly reason: string;
}

/** 1 where more is worse, -1 where less is. */
const WORSE: Readonly<Record<string, 1 | -1>> = {
  "perplexity.value": 1,
  "perplexity.deltaNll": 1,
  "divergence.klNats": 1,
  "divergence.top1Agreement": -1,
  "cache.elementsPerTokenPerLayer": 1,
  "cache.bytesPerToken": 1,
  "cache.measuredBytes": 1,
  "throughput.decodeTokensPerSecond": -1,
  "throughput.prefillTokensPerSecond": -1,
  "throughput.outputTokensPerSecond": -1,
  "conversion.wallSeconds": 1,
  "conversion.calibrationWallSeconds": 1,
  "conversion.keptEnergy": -1,
};

/** The metrics that a tolerance can name. */
export const TOLERABLE_METRICS: readonly string[] = Object.keys(WORSE);

/** A measure alone is its first metric. */
const SHORT: Readonly<Record<string, string>> = {
  perplexity: "perplexity.value",
  divergence: "divergence.klNats",
  cache: "cache.bytesPerToken",
  throughput: "throughput.decodeTokensPerSecond",
  conversion: "conversion.wallSeconds",
};

/**
 * Reads "perplexity=0.5%" or "perplexity.deltaNll=0.01".
 *
 * @param text A metric, or a measure, and how much worse it may become.
 * @throws {InputError} If it is neither.
 */
export function parseTolerance(text: string): Tolerance {
  const [name = "", ...rest] = text.split("=");
  const [, number, percent] =
    /^(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(%?)$/i.exec(rest.join("=")) ?? [];
  const metric = Object.hasOwn(SHORT, name) ? SHORT[name]! : name;
  const isKnown = Object.hasOwn(WORSE, metric);
  if (!isKnown || number === undefined || !Number.isFinite(Number(number))) {
    const meant = isKnown
      ? undefined
      : nearestName(name, [...TOLERABLE_METRICS, ...Object.keys(SHORT)]);
    throw new InputError(
      `option --fail-over: found ${text}${
        meant === undefined ? "" : ` (did you mean "${meant}"?)`
      }; allowed: METRIC=N or METRIC=N%, N finite and >= 0, METRIC one of ${
        TOLERABLE_METRICS.join(", ")
      }`,
    );
  }
  const isRelative = percent === "%";
  return { metric, value: Number(number) / (isRelative ? 100 : 1), isRelative };
}

/**
 * Finds the pairs that are worse than allowed, or that cannot be judged, and
 * the measured cells that the second run lacks: a check that cannot be made does
 * not hold.
 *
 * @param comparison Of two runs.
 * @param tolerances What is allowed.
 * @throws {InputError} If the first run has no measured cell of the metric.
 */
export function violations(
  comparison: Comparison,
  tolerances: readonly Tolerance[],
): Violation[] {
  return tolerances.flatMap((tolerance) => {
    const [measure] = tolerance.metric.split(".");
    const pairs = comparison.pairs.filter((pair) =>
      pair.measure === measure && pair.statusA === "ok"
    );
    const gone = comparison.onlyA.filter((cell) =>
      cell.measure === measure && cell.status === "ok"
    );
    if (pairs.length + gone.length === 0) {
      throw new InputError(
        `Cannot check ${tolerance.metric} as no cell of both runs has it`,
      );
    }
    const judged = pairs.flatMap((pair) => {
      const found = judge(pair, tolerance);
      return found === undefined
        ? []
        : [{ ...placeOf(pair), tolerance, ...found }];
    });
    const lacking = gone.map((cell) => ({
      ...placeOf(cell),
      tolerance,
      reason: "not in B",
    }));
    return [...judged, ...lacking];
  });
}

function placeOf({ variantLabel, contextTokens, load }: CellPair | LoneCell) {
  return {
    variantLabel,
    ...(contextTokens === undefined ? {} : { contextTokens }),
    ...(load === undefined ? {} : { load }),
  };
}

function judge(
  pair: CellPair,
  { metric, value, isRelative }: Tolerance,
): Pick<Violation, "worseBy" | "reason"> | undefined {
  if (pair.statusB !== "ok") return { reason: `${pair.statusB} in B` };
  if (pair.unlike.length > 0) {
    return { reason: `not like for like: ${pair.unlike.join("; ")}` };
  }
  const isPaired = metric === "perplexity.deltaNll";
  const found = pair.differences.find((difference) =>
    difference.metric === (isPaired ? "perplexity.value" : metric)
  );
  const difference = isPaired ? found?.paired?.mean : found?.difference;
  if (found === undefined || difference === undefined) {
    return { reason: `${metric} is not in both` };
  }
  const worse = WORSE[metric]! * difference;
  const worseBy = !isRelative
    ? worse
    : found.a === 0
    ? (worse > 0 ? Infinity : 0)
    : worse / Math.abs(found.a);
  // NaN is not within anything.
  if (worseBy <= value) return undefined;
  return {
    worseBy,
    reason: `${metric} is worse by ${shown(worseBy, isRelative)}: allowed ${
      shown(value, isRelative)
    }`,
  };
}

function shown(value: number, isRelative: boolean): string {
  const text = String(
    Number((isRelative ? 100 * value : value).toPrecision(4)),
  );
  return isRelative ? `${text} %` : text;
}
