// Where the time of a decode step goes: the dispatches of each kernel in a row, as
// they run in earnest, on the device's clock, and everything that the step moves on
// put back.

import type { KernelTime } from "../../engine.ts";
import type { Dispatch, Gpu, Work } from "../device/gpu.ts";
import { timePass } from "../device/timing.ts";
import type { DecodeState } from "./step_plan.ts";

/** Passes that are timed of each kernel, after one that is not. */
const PASSES = 5;

/** Dispatches of a pass at least: beginning and ending it takes as long as some of them. */
const LEAST_DISPATCHES = 16;

/**
 * Times a step by kernel.
 *
 * @param gpu With timestamps.
 * @param step One step; it writes rows of the cache behind those that are there.
 * @param state What the step moves on; the same afterwards as before.
 * @returns Kernels in the order of their first dispatch.
 * @throws {RangeError} If the device has no timestamps.
 */
export async function profileStep(
  gpu: Gpu,
  step: readonly Dispatch[],
  state: DecodeState,
): Promise<KernelTime[]> {
  return await keeping(gpu, state, (back) => timeKernels(gpu, step, back));
}

/**
 * Times whole steps in one pass, as they run in earnest but for what the host does.
 *
 * @param gpu With timestamps.
 * @param step One step.
 * @param state What the step moves on; the same afterwards as before.
 * @param count Steps, for all of which the cache has room.
 * @returns Seconds of a step, the least of several passes: other work on the device only adds to it.
 * @throws {RangeError} If the device has no timestamps.
 */
export async function timeSteps(
  gpu: Gpu,
  step: readonly Dispatch[],
  state: DecodeState,
  count: number,
): Promise<number> {
  const steps = Array.from({ length: count }, () => step).flat();
  return await keeping(
    gpu,
    state,
    async (back) => await leastPass(gpu, steps, back) / count,
  );
}

/**
 * Times dispatches by kernel: those of one in a pass, again and again where they
 * are few. What they compute is not what they do in order.
 *
 * @param gpu With timestamps.
 * @param dispatches In order.
 * @param back Runs after each pass. @default nothing
 * @returns Kernels in the order of their first dispatch.
 * @throws {RangeError} If the device has no timestamps.
 */
export async function timeKernels(
  gpu: Gpu,
  dispatches: readonly Dispatch[],
  back: readonly Work[] = [],
): Promise<KernelTime[]> {
  const seconds = new Float64Array(dispatches.length);
  const kernels = Map.groupBy(
    dispatches.keys(),
    (i) => kernelName(dispatches[i]!.label),
  );
  for (const own of kernels.values()) {
    const repeats = gpu.facts.software
      ? 1
      : Math.ceil(LEAST_DISPATCHES / own.length);
    const work = Array.from(
      { length: repeats },
      () => own.map((i) => dispatches[i]!),
    ).flat();
    const each = await leastPass(gpu, work, back) / work.length;
    for (const i of own) seconds[i] = each;
  }
  return byKernel(dispatches, seconds);
}

/**
 * Times dispatches in one pass.
 *
 * @param gpu With timestamps.
 * @param dispatches The pass.
 * @param back Runs after it. @default nothing
 * @returns Seconds, the least of several runs.
 * @throws {RangeError} If the device has no timestamps.
 */
export async function leastPass(
  gpu: Gpu,
  dispatches: readonly Dispatch[],
  back: readonly Work[] = [],
): Promise<number> {
  if (!gpu.features.timestamps) {
    throw new RangeError(
      `Cannot time dispatches on ${gpu.facts.name} as it has no timestamps in nanoseconds`,
    );
  }
  const runs: number[] = [];
  for (let i = 0; i <= PASSES; i++) {
    const seconds = await timePass(
      gpu.device,
      dispatches,
      (buffer, bytes) => gpu.read(buffer, 0, bytes),
    );
    gpu.run(back);
    // Pipelines are built, and clocks rise, with the first.
    if (i > 0) runs.push(seconds);
  }
  return Math.min(...runs);
}

/** Runs something that moves a state on, with what puts it back. */
async function keeping<T>(
  gpu: Gpu,
  state: DecodeState,
  run: (back: readonly Work[]) => Promise<T>,
): Promise<T> {
  const arena = gpu.arena();
  try {
    const buffers = [state.tokens, state.lengths, state.logits.buffer];
    const kept = buffers.map((buffer) => ({
      buffer,
      copy: arena.buffer(`${buffer.label} kept`, buffer.size),
    }));
    gpu.run(kept.map(({ buffer, copy }) => copied(buffer, copy)));
    const back = kept.map(({ buffer, copy }) => copied(copy, buffer));
    try {
      return await run(back);
    } finally {
      gpu.run(back);
      await gpu.settle();
    }
  } finally {
    arena.destroy();
  }
}

/**
 * Sums times of dispatches by kernel.
 *
 * @param dispatches In any order.
 * @param seconds Of each.
 * @returns Kernels in the order of their first dispatch.
 */
export function byKernel(
  dispatches: readonly Dispatch[],
  seconds: Float64Array,
): KernelTime[] {
  const kernels = new Map<string, KernelTime>();
  for (const [i, { label, bytes, flops }] of dispatches.entries()) {
    const name = kernelName(label);
    const so = kernels.get(name) ??
      { name, dispatches: 0, seconds: 0, bytes: 0, flops: 0 };
    kernels.set(name, {
      name,
      dispatches: so.dispatches + 1,
      seconds: so.seconds + seconds[i]!,
      bytes: so.bytes + bytes,
      flops: so.flops + flops,
    });
  }
  return [...kernels.values()];
}

/**
 * A kernel's name without what changes with the batch: "gemv qkvProj 1 x 12288x4096 f16"
 * is "gemv qkvProj", "gemm 30 x 4096x4096 f16" is "gemm 4096x4096 f16", "rmsNorm 30x4096"
 * is "rmsNorm".
 *
 * @param label Of a dispatch.
 */
export function kernelName(label: string): string {
  const [name] = /^[a-z_]\w*( [a-z_]\w*)*(?= |$)/i.exec(label) ?? [label];
  const [, matrix] = /^ \d+ x (.+)$/.exec(label.slice(name.length)) ?? [];
  return matrix === undefined || name.includes(" ")
    ? name
    : `${name} ${matrix}`;
}

function copied(from: GPUBuffer, to: GPUBuffer): Work {
  return { copy: { from, fromOffset: 0, to, toOffset: 0, bytes: from.size } };
}
