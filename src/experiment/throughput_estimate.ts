// What a throughput cell will take, by arithmetic: a decode step is bound by the
// memory that it reads.

import { planBatch } from "../evaluation/memory_budget.ts";
import { parseByteSize } from "./byte_size.ts";
import type { PlannedCell } from "./plan.ts";
import type { ThroughputMeasure } from "./schema.ts";
import {
  loadsOf,
  reachedTokens,
  requestsAt,
  servedAtOnce,
} from "./throughput_measure.ts";

/** What the engine computes on. */
export type DeviceKind = "cpu" | "gpu" | "software";

/** What is known of the model and the device. */
export interface ThroughputFacts {
  readonly kind: DeviceKind;
  readonly weightBytes: number;
  readonly cacheBytesPerToken: number;
  /** Bytes a second that the device reads. */
  readonly rate: number;
  /** Seconds of running so many tokens, each in a context. */
  prefillSeconds(tokens: number, context: number): number;
}

/** Sequences at once, and the cell's time. */
export interface ThroughputEstimate {
  readonly batch: number;
  /** Whether the memoryBudget does not hold the cell. */
  readonly exceeds: boolean;
  readonly seconds: number;
}

/**
 * Estimates a cell.
 *
 * @param measure Resolved.
 * @param cell Its context and load.
 * @param facts Of the model and the device.
 */
export function estimateThroughput(
  measure: ThroughputMeasure,
  { contextTokens: context = 0, load }: PlannedCell,
  facts: ThroughputFacts,
): ThroughputEstimate {
  const { repetitions, warmups, steps } = measure;
  const { batch, memoryBudget } = load ?? loadsOf(measure)[0]!;
  const requests = requestsAt(measure, context);
  const { batchSize, exceeded } = planBatch({
    batch: servedAtOnce(batch, requests),
    ...(memoryBudget === undefined
      ? {}
      : { memoryBudgetBytes: parseByteSize(memoryBudget) }),
    memoryUtilization: measure.memoryUtilization ?? 1,
    weightBytes: facts.weightBytes,
    cacheBytesPerToken: facts.cacheBytesPerToken,
    tokens: reachedTokens(measure, context),
    ...(requests === undefined ? {} : { mostSequences: requests.count }),
    device: facts.kind === "cpu" ? "cpu" : "gpu",
  });
  const cacheBytes = (tokens: number) =>
    batchSize * tokens * facts.cacheBytesPerToken;
  const step = (tokens: number) =>
    (facts.weightBytes + cacheBytes(tokens)) / facts.rate;
  const fill = (tokens: number) =>
    measure.cache === "seeded"
      ? cacheBytes(tokens) / facts.rate
      : facts.prefillSeconds(batchSize * tokens, tokens);
  const common = { batch: batchSize, exceeds: exceeded !== undefined };
  const rounds = repetitions + warmups;
  if (requests === undefined) {
    const round = fill(context) + steps * step(context);
    return { ...common, seconds: rounds * round };
  }
  const input = Math.floor(context / 2);
  const middle = Math.floor(0.75 * context);
  // The last batch may be a part of one, which is timed, too.
  const batches = requests.count % batchSize === 0 ? 1 : 2;
  const places = batches * (requests.samples * repetitions + warmups);
  return {
    ...common,
    seconds: rounds * facts.prefillSeconds(Math.max(input, 4096), input) +
      places * (fill(middle) + steps * step(middle)),
  };
}
