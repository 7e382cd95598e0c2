// Speed of decoding: greedy steps with a cache of contextTokens, which a timed
// prefill or seeded numbers have filled. Warm-up is excluded; medians over
// repetitions are reported, since a mean follows the one step that the machine
// spent elsewhere.

import type { Session } from "../engine/engine.ts";
import { prefilled, seeded } from "./cache_source.ts";

/** How to time. */
export interface ThroughputOptions {
  readonly batchSize: number;
  /** Tokens in the cache when decoding starts. */
  readonly contextTokens: number;
  /** Times that the cache is filled; each is followed by `steps` timed decode steps. @default 5 */
  readonly repetitions?: number;
  /** @default 16 */
  readonly steps?: number;
  /** Whole untimed repetitions before the first. @default 1 */
  readonly warmups?: number;
  /** Room in the cache beyond the steps. @default 0 */
  readonly reserve?: number;
  /** Fills the cache with numbers of this seed instead of a prefill. */
  readonly cacheSeed?: number;
  /** Repetitions done of all, warm-ups included. */
  progress?(done: number, total: number): void;
}

/** What timing gives. */
export interface Speed {
  readonly batchSize: number;
  /** Absent where nothing was prefilled. */
  readonly prefillTokensPerSecond?: number;
  /** batchSize / median step time. */
  readonly decodeTokensPerSecond: number;
  /** Times taken: one a step, or one for several where an engine submits them together. */
  readonly decodeSamples: number;
  readonly repetitions: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

/**
 * Times a session.
 *
 * @param session A model loaded in an engine.
 * @param prompt Ids to take prompts from: `batchSize * contextTokens`, or none with `cacheSeed`.
 * @param options How to time.
 * @throws {RangeError} If the prompt is too short, or the engine fills no cache with seeded numbers.
 */
export async function throughput(
  session: Session,
  prompt: Int32Array,
  options: ThroughputOptions,
): Promise<Speed> {
  const { batchSize, contextTokens, cacheSeed, reserve = 0 } = options;
  const repetitions = options.repetitions ?? 5;
  const steps = options.steps ?? 16;
  const warmups = options.warmups ?? 1;
  if (cacheSeed === undefined && prompt.length < batchSize * contextTokens) {
    throw new RangeError(
      `Cannot time as the prompt must have >= ${
        batchSize * contextTokens
      } tokens: current value is ${prompt.length}`,
    );
  }
  const fill = cacheSeed === undefined
    ? prefilled(session, (tokens) => prompt.subarray(0, tokens))
    : seeded(session, cacheSeed);
  const prefillSeconds: number[] = [];
  const stepSeconds: number[] = [];
  let samples = 0;
  for (let i = 0; i < warmups + repetitions; i++) {
    options.progress?.(i, warmups + repetitions);
    const start = performance.now();
    await fill(batchSize, contextTokens, steps + reserve);
    const seconds = (performance.now() - start) / 1000;
    const decoded = await session.decode(steps);
    if (i < warmups) continue;
    prefillSeconds.push(seconds);
    stepSeconds.push(...decoded.stepSeconds);
    samples += decoded.samples;
  }
  options.progress?.(warmups + repetitions, warmups + repetitions);
  return {
    ...(cacheSeed === undefined
      ? {
        prefillTokensPerSecond: batchSize * contextTokens /
          quantile(prefillSeconds, 0.5),
      }
      : {}),
    ...decodeSpeed(batchSize, stepSeconds),
    decodeSamples: samples,
    repetitions,
  };
}

/**
 * The figures of decode steps.
 *
 * @param batchSize Sequences that each step decodes.
 * @param stepSeconds At least one.
 */
export function decodeSpeed(
  batchSize: number,
  stepSeconds: readonly number[],
): Pick<Speed, "batchSize" | "decodeTokensPerSecond" | "p50Ms" | "p95Ms"> {
  const step = quantile(stepSeconds, 0.5);
  return {
    batchSize,
    decodeTokensPerSecond: batchSize / step,
    p50Ms: step * 1000,
    p95Ms: quantile(stepSeconds, 0.95) * 1000,
  };
}

/**
 * Quantile with linear interpolation between order statistics.
 *
 * @param values At least one.
 * @param q 0 to 1.
 */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) {
    throw new RangeError("Cannot take a quantile of no values");
  }
  const sorted = [...values].sort((a, b) => a - b);
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (position - below);
}
