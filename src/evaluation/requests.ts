// Speed of whole requests: half of the context comes in, half goes out, so many
// requests that a batch at a time are served. Neither all prompts nor all steps
// are run: a prefill is timed on some sequences, and steps at places along the
// generation; a step's time grows with the cache, in between linearly. The last
// batch may be a part of one: as weights are read all the same, its steps take
// longer than its share, and are timed, too.

import type { Session } from "../engine/engine.ts";
import { type FillCache, sequencesOf } from "./cache_source.ts";
import { decodeSpeed, quantile, type Speed } from "./throughput.ts";

/** How to time requests. */
export interface RequestOptions {
  readonly count: number;
  /** Requests served at once, at most `count`. */
  readonly batchSize: number;
  /** Tokens of a request, in and out. */
  readonly contextTokens: number;
  /** Places along the generation. */
  readonly samples: number;
  /** Decode steps at each place. */
  readonly steps: number;
  /** Times that each is timed; the median counts. */
  readonly repetitions: number;
  /** Untimed ones before. */
  readonly warmups: number;
  /** Gives the cache its numbers before decoding. */
  readonly fill: FillCache;
  /** Gives so many tokens. */
  prompt(tokens: number): Int32Array;
  /** Room in the cache beyond the steps. @default 0 */
  readonly reserve?: number;
  /** Timed parts done of all. */
  progress?(done: number, total: number): void;
}

/** Time of a step at a length of the cache. */
export interface SampledStep {
  /** In the middle of the steps that were timed. */
  readonly contextTokens: number;
  readonly ms: number;
}

/** Speed of requests beside that of their steps. */
export interface RequestSpeed extends Speed {
  readonly requests: {
    readonly count: number;
    readonly inputTokens: number;
    readonly outputTokens: number;
    readonly outputTokensPerSecond: number;
    readonly seconds: number;
    readonly prefillSeconds: number;
    readonly prefillSampledTokens: number;
    readonly sampledSteps: readonly SampledStep[];
    /** Where the count is no multiple of the batch: those that are left, timed as a batch of their own. */
    readonly lastBatch?: {
      readonly sequences: number;
      readonly sampledSteps: readonly SampledStep[];
    };
  };
}

/** A prefill is timed on whole sequences of about so many tokens: more are no faster. */
const PREFILL_SAMPLE_TOKENS = 4096;

/**
 * Times requests.
 *
 * @param session A model loaded in an engine.
 * @param options How to time.
 */
export async function requestThroughput(
  session: Session,
  options: RequestOptions,
): Promise<RequestSpeed> {
  const { count, batchSize, contextTokens, samples, repetitions } = options;
  const inputTokens = Math.floor(contextTokens / 2);
  const outputTokens = contextTokens - inputTokens;
  const rest = count % batchSize;
  const total = 1 + samples * (rest === 0 ? 1 : 2);
  let done = 0;
  const progress = () => options.progress?.(done++, total);
  progress();
  const prefill = await timePrefill(session, inputTokens, options);
  const time = (sequences: number) =>
    timeSteps(session, sequences, inputTokens, options, progress);
  // Last the whole batch: its cache is the one that a profile finds.
  const last = rest === 0 ? undefined : await time(rest);
  const whole = await time(batchSize);
  options.progress?.(total, total);
  const generation = ({ sampledSteps }: TimedSteps) =>
    generationSeconds(sampledSteps, inputTokens, contextTokens);
  const prefillSeconds = prefill.seconds * count * inputTokens /
    prefill.tokens;
  const seconds = prefillSeconds +
    Math.floor(count / batchSize) * generation(whole) +
    (last === undefined ? 0 : generation(last));
  return {
    ...decodeSpeed(batchSize, whole.stepSeconds),
    prefillTokensPerSecond: prefill.tokens / prefill.seconds,
    decodeSamples: whole.decodeSamples,
    repetitions,
    requests: {
      count,
      inputTokens,
      outputTokens,
      outputTokensPerSecond: count * outputTokens / seconds,
      seconds,
      prefillSeconds,
      prefillSampledTokens: prefill.tokens,
      sampledSteps: whole.sampledSteps,
      ...(last === undefined ? {} : {
        lastBatch: { sequences: rest, sampledSteps: last.sampledSteps },
      }),
    },
  };
}

/** Steps of a batch along the generation. */
interface TimedSteps {
  readonly sampledSteps: readonly SampledStep[];
  readonly stepSeconds: readonly number[];
  readonly decodeSamples: number;
}

async function timeSteps(
  session: Session,
  sequences: number,
  inputTokens: number,
  options: RequestOptions,
  progress: () => void,
): Promise<TimedSteps> {
  const { contextTokens, samples, repetitions, reserve = 0 } = options;
  const outputTokens = contextTokens - inputTokens;
  const steps = Math.min(options.steps, outputTokens);
  const stepSeconds: number[] = [];
  const sampledSteps: SampledStep[] = [];
  let decodeSamples = 0;
  for (let i = 0; i < samples; i++) {
    progress();
    const part = samples === 1 ? 0.5 : i / (samples - 1);
    const start = inputTokens + Math.round(part * (outputTokens - steps));
    const own: number[] = [];
    // What is compiled at the first place is there at the others.
    const warmups = i === 0 ? options.warmups : 0;
    for (let r = 0; r < warmups + repetitions; r++) {
      await options.fill(sequences, start, steps + reserve);
      const decoded = await session.decode(steps);
      if (r < warmups) continue;
      own.push(...decoded.stepSeconds);
      decodeSamples += decoded.samples;
    }
    stepSeconds.push(...own);
    sampledSteps.push({
      contextTokens: start + Math.floor(steps / 2),
      ms: 1000 * quantile(own, 0.5),
    });
  }
  return { sampledSteps, stepSeconds, decodeSamples };
}

async function timePrefill(
  session: Session,
  inputTokens: number,
  { batchSize, prompt, repetitions, warmups }: RequestOptions,
): Promise<{ readonly seconds: number; readonly tokens: number }> {
  const sequences = Math.min(
    batchSize,
    Math.max(1, Math.floor(PREFILL_SAMPLE_TOKENS / inputTokens)),
  );
  const tokens = sequences * inputTokens;
  const prompts = sequencesOf(prompt(tokens), sequences);
  if (warmups > 0) {
    // The passes of a long prompt are alike: its beginning warms them up.
    await session.prefill(
      prompts.map((one) => one.subarray(0, PREFILL_SAMPLE_TOKENS)),
    );
  }
  const seconds: number[] = [];
  for (let i = 0; i < repetitions; i++) {
    const start = performance.now();
    await session.prefill(prompts);
    seconds.push((performance.now() - start) / 1000);
  }
  return { seconds: quantile(seconds, 0.5), tokens };
}

/**
 * Time of generating from one length of the cache to another.
 *
 * @param samples Times of steps, by rising length; before the first and after the last a step takes as long as there.
 * @param from Tokens in the cache before the first step.
 * @param to Tokens after the last.
 * @returns Seconds.
 */
export function generationSeconds(
  samples: readonly SampledStep[],
  from: number,
  to: number,
): number {
  const first = samples[0]!;
  const last = samples.at(-1)!;
  let ms = (first.contextTokens - from) * first.ms +
    (to - last.contextTokens) * last.ms;
  for (const [i, { contextTokens, ms: time }] of samples.entries()) {
    const next = samples[i + 1];
    if (next === undefined) break;
    ms += (next.contextTokens - contextTokens) * (time + next.ms) / 2;
  }
  return ms / 1000;
}
