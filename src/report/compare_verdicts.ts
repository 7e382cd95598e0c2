// The figures of a cell beside those of the same cell measured again, each with
// what may differ.

import type { CellRecord } from "../experiment/record.ts";
import { windowUnlikeness } from "./compare_likeness.ts";

/** A figure of a first run beside the same of the second. */
export interface FigureVerdict {
  /** "perplexity", "first 4 of 148 windows" included where fewer were scored again. */
  readonly quantity: string;
  readonly recorded?: number;
  readonly reproduced?: number;
  /** |reproduced - recorded|, divided by |recorded| where `isRelative`; of speeds the larger by the smaller. */
  readonly difference?: number;
  /** Largest difference that agrees. */
  readonly tolerance?: number;
  readonly isRelative?: boolean;
  readonly verdict: "identical" | "agrees" | "differs";
  /** Why there is nothing to compare. */
  readonly reason?: string;
}

/** Largest differences that agree. */
export interface ReproductionTolerances {
  /** Relative. */
  readonly perplexity: number;
  /** Relative, but at least klFloorNats. */
  readonly kl: number;
  /** Where divergences are near zero their rounding is not. */
  readonly klFloorNats: number;
  /** Of the part of predictions, 0-1. */
  readonly agreement: number;
  /** Of the part of the energy, 0-1, in each layer. */
  readonly keptEnergy: number;
}

/** On one engine, provider and number type the same sums are made in another order at most. */
export const SAME_ENGINE: ReproductionTolerances = {
  perplexity: 1e-4,
  kl: 1e-3,
  klFloorNats: 1e-5,
  agreement: 1e-3,
  keptEnergy: 1e-5,
};

/** Other kernels, or f16 in the place of f32. */
export const OTHER_ENGINE: ReproductionTolerances = {
  perplexity: 1e-3,
  kl: 1e-2,
  klFloorNats: 1e-4,
  agreement: 1e-2,
  keptEnergy: 1e-3,
};

/** What else is compared, and how. */
export interface ReproductionOptions {
  /** Relative tolerance of perplexity, in place of the above. */
  readonly perplexity?: number;
  /** Speeds agree within this ratio, >= 1; absent: they are not compared. */
  readonly timings?: number;
}

/**
 * Compares the figures of a cell with those of the same cell measured again.
 *
 * @param a The first, which ended well.
 * @param b The second, which ended well.
 * @param options What is compared.
 */
export function figureVerdicts(
  a: CellRecord,
  b: CellRecord,
  options: ReproductionOptions,
): FigureVerdict[] {
  const isSame = engineKind(a) === engineKind(b);
  const allowed = isSame ? SAME_ENGINE : OTHER_ENGINE;
  if (a.measure === "perplexity" && b.measure === "perplexity") {
    const windows = commonWindows(a, b);
    if (typeof windows === "string") {
      return [{ quantity: "perplexity", ...no(windows) }];
    }
    const { count, note } = windows;
    return [judged(
      `perplexity${note}`,
      Math.exp(meanOf(a.metrics!.windowNll, count)),
      Math.exp(meanOf(b.metrics!.windowNll, count)),
      options.perplexity ?? allowed.perplexity,
      true,
    )];
  }
  if (a.measure === "divergence" && b.measure === "divergence") {
    const windows = commonWindows(a, b);
    if (typeof windows === "string") {
      return [{ quantity: "KL", ...no(windows) }];
    }
    const { count, note } = windows;
    const kl = meanOf(a.metrics!.windowKl, count);
    return [
      judged(
        `KL, nats${note}`,
        kl,
        meanOf(b.metrics!.windowKl, count),
        Math.max(allowed.kl * Math.abs(kl), allowed.klFloorNats),
        false,
      ),
      judged(
        `top-1 agreement${note}`,
        meanOf(a.metrics!.windowAgreement, count),
        meanOf(b.metrics!.windowAgreement, count),
        allowed.agreement,
        false,
      ),
    ];
  }
  if (a.measure === "cache" && b.measure === "cache") {
    const fields = cacheDtype(a) === cacheDtype(b)
      ? isSame ? CACHE_FIELDS : CACHE_FIELDS.slice(0, 2)
      : CACHE_FIELDS.slice(0, 1);
    return fields.map(([field, name]) =>
      judged(name, a.metrics![field], b.metrics![field], 0, false)
    );
  }
  if (a.measure === "conversion" && b.measure === "conversion") {
    return [
      optionsVerdict(a.metrics!.resolved, b.metrics!.resolved),
      ...energyVerdicts(
        a.metrics!.keptEnergyByLayer,
        b.metrics!.keptEnergyByLayer,
        allowed.keptEnergy,
      ),
    ];
  }
  if (a.measure === "throughput" && b.measure === "throughput") {
    return SPEED_FIELDS.flatMap(([field, name]) => {
      const [recorded, found] = [a.metrics![field], b.metrics![field]];
      // A seeded cache has no prefill, in neither run.
      return recorded === undefined || found === undefined
        ? []
        : [speedVerdict(name, recorded, found, options.timings!)];
    });
  }
  return [];
}

/** The first depends on sizes alone, the second on the cache's number type, the third on the engine. */
const CACHE_FIELDS = [
  ["elementsPerTokenPerLayer", "numbers/token/layer"],
  ["bytesPerToken", "bytes/token"],
  ["measuredBytes", "measured bytes"],
] as const;

const SPEED_FIELDS = [
  ["decodeTokensPerSecond", "decode, tokens/s"],
  ["prefillTokensPerSecond", "prefill, tokens/s"],
] as const;

/** The verdict where there is nothing to compare. */
export function no(
  reason = "not measured",
): { readonly verdict: "differs"; readonly reason: string } {
  return { verdict: "differs", reason };
}

function judged(
  quantity: string,
  recorded: number,
  reproduced: number,
  tolerance: number,
  isRelative: boolean,
): FigureVerdict {
  const absolute = Math.abs(reproduced - recorded);
  const difference = isRelative ? absolute / Math.abs(recorded) : absolute;
  return {
    quantity,
    recorded,
    reproduced,
    difference,
    tolerance,
    isRelative,
    verdict: recorded === reproduced
      ? "identical"
      // NaN does not agree with anything.
      : difference <= tolerance
      ? "agrees"
      : "differs",
  };
}

/** What "auto" was resolved to, options that one of two versions does not have aside. */
function optionsVerdict(
  recorded: Readonly<Record<string, unknown>>,
  reproduced: Readonly<Record<string, unknown>>,
): FigureVerdict {
  const other = Object.keys(recorded).filter((key) =>
    key in reproduced &&
    JSON.stringify(recorded[key]) !== JSON.stringify(reproduced[key])
  );
  return other.length === 0 ? { quantity: "options", verdict: "identical" } : {
    quantity: "options",
    ...no(
      other.map((key) =>
        `${key}: ${JSON.stringify(recorded[key])}, ${
          JSON.stringify(reproduced[key])
        }`
      ).join("; "),
    ),
  };
}

/** The layer whose energies are farthest from each other. */
function energyVerdicts(
  recorded: readonly number[],
  reproduced: readonly number[],
  tolerance: number,
): FigureVerdict[] {
  if (recorded.length !== reproduced.length) {
    return [{
      quantity: "energy kept",
      ...no(`layers: ${recorded.length}, ${reproduced.length}`),
    }];
  }
  const verdicts = recorded.map((value, layer) =>
    judged(
      `energy kept, farthest of ${recorded.length} layers`,
      value,
      reproduced[layer]!,
      tolerance,
      false,
    )
  );
  const distance = ({ difference = Infinity }: FigureVerdict) =>
    Number.isNaN(difference) ? Infinity : difference;
  verdicts.sort((a, b) => distance(b) - distance(a));
  // A method without a PCA keeps no energies.
  return verdicts.slice(0, 1);
}

function speedVerdict(
  quantity: string,
  recorded: number,
  reproduced: number,
  tolerance: number,
): FigureVerdict {
  const difference = Math.max(recorded / reproduced, reproduced / recorded);
  return {
    quantity,
    recorded,
    reproduced,
    difference,
    tolerance,
    verdict: recorded === reproduced
      ? "identical"
      : difference <= tolerance
      ? "agrees"
      : "differs",
  };
}

/** Windows are cut from a text's start: of two counts the smaller is in both. */
function commonWindows(
  a: CellRecord,
  b: CellRecord,
): { readonly count: number; readonly note: string } | string {
  const [left, right] = [windowsOf(a), windowsOf(b)];
  if (left.windows === right.windows) {
    return windowUnlikeness(a, b)[0] ?? { count: left.windows, note: "" };
  }
  const count = Math.min(left.windows, right.windows);
  const isSame = left.textSha256 === right.textSha256 &&
    left.windowTokens === right.windowTokens;
  return isSame
    ? {
      count,
      note: `, first ${count} of ${
        Math.max(left.windows, right.windows)
      } windows`,
    }
    : windowUnlikeness(a, b)[0] ?? "windows differ";
}

function windowsOf(record: CellRecord) {
  if (record.measure === "perplexity" || record.measure === "divergence") {
    if (record.metrics !== undefined) return record.metrics;
  }
  throw new RangeError(`Cannot take windows of a cell of ${record.measure}`);
}

function meanOf(values: readonly number[], count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[i]!;
  return sum / count;
}

function engineKind({ engine }: CellRecord): string {
  return [engine.name, engine.provider, engine.dtype, engine.cacheDtype].join();
}

function cacheDtype({ engine }: CellRecord): string {
  return engine.cacheDtype ?? engine.dtype;
}
