// The name of a cell: a hash of everything that decides its numbers.

import { shortHash } from "./canonical.ts";
import { type Inputs, SYNTHETIC_TEXT } from "./inputs.ts";
import { NUMERICS_VERSION } from "./numerics.ts";
import type { Load, Measure, VariantRecord } from "./record.ts";
import {
  calibrationOf,
  type ContinuationMeasure,
  type DivergenceMeasure,
  type Experiment,
} from "./schema.ts";
import { requestsAt } from "./throughput_measure.ts";

/** What a cell measures, and at which context. */
export interface Target {
  readonly measure: Measure;
  readonly contextTokens?: number;
  /** Where there are several. */
  readonly load?: Load;
}

/** What identifies a cell beside its experiment. */
export interface CellIdentity {
  readonly variant: VariantRecord;
  readonly target: Target;
  /** Where the experiment names several. */
  readonly calibrationSeed: number | undefined;
  /** What timed figures depend on. */
  readonly machine: string;
}

/**
 * Names a cell.
 *
 * @param experiment Resolved.
 * @param inputs Its inputs.
 * @param identity What tells the cell from others.
 * @returns 16 hex digits.
 */
export function cellId(
  { calibration, engine, measure }: Experiment,
  inputs: Inputs,
  { variant, target, calibrationSeed, machine }: CellIdentity,
): string {
  const { perplexity, divergence, cache, throughput } = measure;
  const converted = variant.method !== "original";
  return shortHash({
    numerics: NUMERICS_VERSION,
    model: inputs.modelSha256,
    config: inputs.config,
    variant,
    measure: target.measure,
    contextTokens: target.contextTokens,
    engine: {
      name: engine.name,
      dtype: engine.dtype,
      device: engine.device,
      provider: engine.provider,
      cacheDtype: engine.cacheDtype,
    },
    calibration: converted && calibration !== undefined
      ? {
        ...calibrationOf(calibration, calibrationSeed),
        text: textIdentity(inputs, calibration.text),
        tokenizer: inputs.tokenizerSha256,
      }
      : undefined,
    perplexity: target.measure === "perplexity" && perplexity !== undefined
      ? {
        text: textIdentity(inputs, perplexity.text),
        tokens: perplexity.tokens,
        tokenizer: inputs.tokenizerSha256,
      }
      : undefined,
    divergence: target.measure === "divergence" && divergence !== undefined
      ? {
        text: textIdentity(inputs, divergence.text),
        tokens: divergence.tokens,
        tokenizer: inputs.tokenizerSha256,
        continuation: continuationAt(divergence, target.contextTokens),
      }
      : undefined,
    cache: target.measure !== "cache"
      ? undefined
      : cache?.memoryGrowth === true
      ? { slackBytes: cache.slackBytes, memoryGrowth: true }
      : cache?.slackBytes,
    throughput: target.measure === "throughput" && throughput !== undefined
      ? {
        ...throughput,
        // As the cell of an experiment that has no other load.
        ...(target.load === undefined
          ? {}
          : { memoryBudget: undefined, ...target.load }),
        requests: requestsAt(throughput, target.contextTokens ?? 0),
        contexts: undefined,
        threads: engine.threads,
        machine,
      }
      : undefined,
  });
}

/** A text is what it says, whatever it is called. */
function textIdentity(inputs: Inputs, name: string): string {
  return name === SYNTHETIC_TEXT ? name : inputs.textSha256[name]!;
}

/**
 * How a divergence cell continues prompts: one context does so, since
 * continuations do not depend on it.
 *
 * @param measure Of the experiment.
 * @param contextTokens Of the cell.
 * @returns Undefined where it does not.
 */
export function continuationAt(
  { contexts, continuation }: DivergenceMeasure,
  contextTokens: number | undefined,
): ContinuationMeasure | undefined {
  return continuation !== false && contextTokens === Math.max(...contexts)
    ? continuation
    : undefined;
}
