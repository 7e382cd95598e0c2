// One throughput cell: what fits the memory, its speed, the limit of that speed
// and where the time of a step goes.

import { DTYPE_BYTES } from "../base/dtype.ts";
import type { Engine, KernelTime, Session } from "../engine/engine.ts";
import { prefilled, seeded } from "../evaluation/cache_source.ts";
import { cacheTheory } from "../evaluation/cache_bytes.ts";
import { deviceMemoryBytes } from "../evaluation/device_memory.ts";
import { type BatchPlan, planBatch } from "../evaluation/memory_budget.ts";
import { requestThroughput } from "../evaluation/requests.ts";
import { rooflineOf } from "../evaluation/roofline.ts";
import { type Speed, throughput } from "../evaluation/throughput.ts";
import type { DecoderModel } from "../model/decoder.ts";
import { parseByteSize } from "./byte_size.ts";
import {
  ForeseenOutOfMemory,
  oneLine,
  ranOutOfMemory,
} from "./out_of_memory.ts";
import type { Load, ThroughputMetrics } from "./record.ts";
import type { ThroughputMeasure } from "./schema.ts";
import {
  loadsOf,
  reachedTokens,
  requestsAt,
  servedAtOnce,
} from "./throughput_measure.ts";
import { weightElements } from "./weight_elements.ts";

/** What a cell is measured with. */
export interface ThroughputParts {
  readonly measure: ThroughputMeasure;
  readonly contextTokens: number;
  /** Of the cell; absent where the measure has one. */
  readonly load?: Load;
  readonly model: DecoderModel;
  readonly engine: Engine;
  readonly device: "cpu" | "gpu";
  /** Of a cached number. */
  readonly cacheElementBytes: number;
  /** A session of `model`. */
  openSession(): Promise<Session>;
  /** Gives so many tokens. */
  prompt(tokens: number): Int32Array;
  /** Charges a clock with measuring. */
  time<T>(work: () => Promise<T>): Promise<T>;
  progress(stage: string, done: number, total: number): void;
  log(message: string): void;
}

/** A part of the device's memory is the driver's, the runtime's and the display's. */
const DEVICE_UTILIZATION = 0.9;

/** Of cached numbers. */
const CACHE_SEED = 7;

/** The memory that a cell may use. */
interface Budget {
  readonly memoryBudgetBytes?: number;
  readonly memoryUtilization?: number;
}

/**
 * Measures a cell.
 *
 * @param parts What with.
 * @throws {ForeseenOutOfMemory} If a stated memoryBudget is exceeded by arithmetic.
 */
export async function measureThroughput(
  parts: ThroughputParts,
): Promise<ThroughputMetrics> {
  const { measure, contextTokens, model, engine } = parts;
  const load = parts.load ?? loadsOf(measure)[0]!;
  // Weights are never wider than f32.
  const elementBytes = Math.min(bytesOf(engine.describe().dtype), 4);
  const elements = await weightElements(model);
  const theory = await cacheTheory(model, parts.cacheElementBytes);
  const tokens = reachedTokens(measure, contextTokens);
  const requests = requestsAt(measure, contextTokens);
  const batch = servedAtOnce(load.batch, requests);
  const request = {
    batch,
    ...await budgetOf(parts, load),
    weightBytes: elements.total * elementBytes,
    cacheBytesPerToken: theory.bytesPerToken,
    tokens,
    ...(requests === undefined ? {} : { mostSequences: requests.count }),
    device: parts.device,
  };
  // Weights that cannot fit are not loaded to learn how much scratch they need.
  refuseExceeded(planBatch(request));
  const session = await parts.openSession();
  const plan = planBatch({
    ...request,
    // Buffers may hold fewer sequences than memory does.
    mostSequences: Math.min(
      requests?.count ?? Infinity,
      session.mostSequences?.(tokens) ?? Infinity,
    ),
    scratchBytes: (batch) => session.scratchBytes?.(batch, tokens) ?? 0,
  });
  refuseExceeded(plan);
  return await explained(plan, async () => {
    // Before the cache takes what is left of the memory.
    const copyBytesPerSecond = await parts.time(async () =>
      await engine.copyBandwidth?.()
    );
    const speed = await parts.time(() => speedOf(parts, session, plan));
    const roofline = copyBytesPerSecond === undefined ? undefined : rooflineOf({
      weightBytes: elements.step * elementBytes,
      cacheBytesPerToken: theory.bytesPerToken,
      batchSize: plan.batchSize,
      contextTokens: meanContext(measure, contextTokens),
      copyBytesPerSecond,
      decodeTokensPerSecond: speed.decodeTokensPerSecond,
    });
    const kernels = await parts.time(() => profile(parts, session));
    return {
      ...speed,
      memoryBytes: plan.memoryBytes,
      memory: plan.memory,
      ...(roofline === undefined ? {} : { roofline }),
      ...(kernels === undefined ? {} : { kernels }),
    };
  });
}

function refuseExceeded({ exceeded }: BatchPlan): void {
  if (exceeded !== undefined) throw new ForeseenOutOfMemory(exceeded);
}

/** The stated budget; for "auto" without one, what the GPU has where its driver tells. */
async function budgetOf(
  { measure, engine, device }: ThroughputParts,
  { batch, memoryBudget }: Load,
): Promise<Budget> {
  const { memoryUtilization } = measure;
  if (memoryBudget !== undefined) {
    return {
      memoryBudgetBytes: parseByteSize(memoryBudget),
      ...(memoryUtilization === undefined ? {} : { memoryUtilization }),
    };
  }
  const isGpu = device === "gpu" &&
    engine.describe().adapterKind === "gpu";
  const memoryBudgetBytes = batch === "auto" && isGpu
    ? await deviceMemoryBytes()
    : undefined;
  return memoryBudgetBytes === undefined ? {} : {
    memoryBudgetBytes,
    memoryUtilization: memoryUtilization ?? DEVICE_UTILIZATION,
  };
}

/** Says of a shortage that arithmetic did not foresee what there should have been room for. */
async function explained<T>(
  { arithmetic }: BatchPlan,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!ranOutOfMemory(error)) throw error;
    throw new Error(`${oneLine(error)}; by arithmetic: ${arithmetic}`, {
      cause: error,
    });
  }
}

async function speedOf(
  parts: ThroughputParts,
  session: Session,
  { batchSize }: BatchPlan,
): Promise<Speed> {
  const { measure, contextTokens } = parts;
  const { cache, profile, steps, repetitions, warmups } = measure;
  const common = {
    batchSize,
    contextTokens,
    steps,
    repetitions,
    warmups,
    // The profiled step needs room, too.
    reserve: profile === true ? 1 : 0,
    progress: (done: number, total: number) =>
      parts.progress("throughput", done, total),
  };
  const requests = requestsAt(measure, contextTokens);
  if (requests !== undefined) {
    return await requestThroughput(session, {
      ...common,
      ...requests,
      batchSize,
      prompt: parts.prompt,
      fill: cache === "seeded"
        ? seeded(session, CACHE_SEED)
        : prefilled(session, parts.prompt),
    });
  }
  return cache === "seeded"
    ? await throughput(session, new Int32Array(), {
      ...common,
      cacheSeed: CACHE_SEED,
    })
    : await throughput(
      session,
      parts.prompt(batchSize * contextTokens),
      common,
    );
}

/** Tokens in the cache of each sequence, the mean over the steps that are timed. */
function meanContext(
  { workload, steps }: ThroughputMeasure,
  contextTokens: number,
): number {
  return workload === "requests"
    ? 0.75 * contextTokens
    : contextTokens + steps / 2;
}

async function profile(
  { measure, log }: ThroughputParts,
  session: Session,
): Promise<readonly KernelTime[] | undefined> {
  if (measure.profile !== true) return undefined;
  try {
    return await session.profileStep?.();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // Not every device has a clock.
    log(`no time by kernel: ${error.message}`);
    return undefined;
  }
}

/** Of an element that an engine names. */
function bytesOf(dtype: string): number {
  return Object.hasOwn(DTYPE_BYTES, dtype)
    ? DTYPE_BYTES[dtype as keyof typeof DTYPE_BYTES]
    : 4;
}
