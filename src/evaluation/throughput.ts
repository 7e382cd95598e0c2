// Speed: prefill of a prompt of contextTokens, then greedy decode steps with
// that cache. Warm-up is excluded; medians over repetitions are reported,
// since a mean follows the one step that the machine spent elsewhere.

import type { Session } from "../engine/engine.ts";

/** How to time. */
export interface ThroughputOptions {
  readonly batchSize: number;
  /** Tokens in the cache when decoding starts. */
  readonly contextTokens: number;
  /** Timed prefills; each is followed by `steps` timed decode steps. @default 5 */
  readonly repetitions?: number;
  /** @default 16 */
  readonly steps?: number;
  /** Whole untimed repetitions before the first. @default 1 */
  readonly warmups?: number;
  /** Repetitions done of all, warm-ups included. */
  progress?(done: number, total: number): void;
}

/** What timing gives. */
export interface Speed {
  readonly batchSize: number;
  readonly prefillTokensPerSecond: number;
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
 * @param prompt Ids to take prompts from: `batchSize * contextTokens`.
 * @param options How to time.
 * @throws {RangeError} If the prompt is too short.
 */
export async function throughput(
  session: Session,
  prompt: Int32Array,
  options: ThroughputOptions,
): Promise<Speed> {
  const { batchSize, contextTokens } = options;
  const repetitions = options.repetitions ?? 5;
  const steps = options.steps ?? 16;
  const warmups = options.warmups ?? 1;
  if (prompt.length < batchSize * contextTokens) {
    throw new RangeError(
      `Cannot time as the prompt must have >= ${
        batchSize * contextTokens
      } tokens: current value is ${prompt.length}`,
    );
  }
  const sequences = Array.from(
    { length: batchSize },
    (_, i) => prompt.subarray(i * contextTokens, (i + 1) * contextTokens),
  );
  const prefillSeconds: number[] = [];
  const stepSeconds: number[] = [];
  let samples = 0;
  for (let i = 0; i < warmups + repetitions; i++) {
    options.progress?.(i, warmups + repetitions);
    const start = performance.now();
    await session.prefill(sequences, steps);
    const seconds = (performance.now() - start) / 1000;
    const decoded = await session.decode(steps);
    if (i < warmups) continue;
    prefillSeconds.push(seconds);
    stepSeconds.push(...decoded.stepSeconds);
    samples += decoded.samples;
  }
  options.progress?.(warmups + repetitions, warmups + repetitions);
  const step = quantile(stepSeconds, 0.5);
  return {
    batchSize,
    prefillTokensPerSecond: batchSize * contextTokens /
      quantile(prefillSeconds, 0.5),
    decodeTokensPerSecond: batchSize / step,
    decodeSamples: samples,
    repetitions,
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
