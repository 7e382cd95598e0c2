// Where the time of a decode step goes: each dispatch on the device's clock, summed
// by kernel, and everything that the step moves on put back.

import type { KernelTime } from "../../engine.ts";
import type { Dispatch, Gpu, Work } from "../device/gpu.ts";
import type { DecodeState } from "./step_plan.ts";

/** Steps that are timed, after one that is not. */
const STEPS = 5;

/**
 * Times a step's dispatches, the median of several runs of it each.
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
  const arena = gpu.arena();
  try {
    const buffers = [state.tokens, state.lengths, state.logits.buffer];
    const kept = buffers.map((buffer) => ({
      buffer,
      copy: arena.buffer(`${buffer.label} kept`, buffer.size),
    }));
    gpu.run(kept.map(({ buffer, copy }) => copied(buffer, copy)));
    const back = kept.map(({ buffer, copy }) => copied(copy, buffer));
    const runs: Float64Array[] = [];
    try {
      for (let i = 0; i <= STEPS; i++) {
        const seconds = await gpu.profile(step);
        gpu.run(back);
        // Pipelines are built, and clocks rise, with the first.
        if (i > 0) runs.push(seconds);
      }
    } catch (error) {
      gpu.run(back);
      throw error;
    }
    await gpu.settle();
    return byKernel(
      step,
      Float64Array.from(step, (_, i) => median(runs.map((run) => run[i]!))),
    );
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

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
