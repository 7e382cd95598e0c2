// How long a kernel's case takes: on the device's own clock where it has one, and
// on the host's over many repetitions, with its inputs in more memory than any
// cache holds.

import type { Dispatch, Gpu } from "../../device/gpu.ts";
import type { KernelCase } from "./kernel_case.ts";
import { caseRandom } from "./run_case.ts";

/** Bytes that copies of a case take together: many times the cache of a GPU. */
const ROTATED_BYTES = 400e6;
const MAX_COPIES = 64;
/** Making inputs on the host may take this long; then there are as many copies as there are. */
const PREPARE_MS = 1000;

/** Rounds over all copies: at least as many, and longer while time is left. */
const MIN_ROUNDS = 3;
const CLOCKED_MS = 150;
/** Work of one submit on the host's clock, and the most dispatches in it. */
const SUBMIT_SECONDS = 0.03;
const MAX_DISPATCHES = 2000;
const SUBMITS = 4;

/** How long a case takes. */
export interface Timing {
  /** Seconds on the device's clock, each dispatch in a pass of its own: median over the rounds. */
  readonly deviceSeconds?: number;
  readonly deviceBestSeconds?: number;
  /** Seconds on the host's clock in a row of repetitions, less an empty submit: the best of several. */
  readonly rowSeconds: number;
  /** Bytes that must move and operations that must be done, once. */
  readonly bytes: number;
  readonly flops: number;
  readonly dispatches: number;
  /** Copies of the case that took turns, and their memory. */
  readonly copies: number;
  readonly rotatedBytes: number;
}

/** The seconds that stand for a timing: of the device where it told. */
export function secondsOf(timing: Timing): number {
  return timing.deviceSeconds ?? timing.rowSeconds;
}

/**
 * Times a case.
 *
 * @param gpu Has what the case needs.
 * @param kernelCase The case.
 * @returns Its times.
 * @throws {GpuError} If the device reports a fault.
 */
export async function timeCase(
  gpu: Gpu,
  kernelCase: KernelCase,
): Promise<Timing> {
  const arena = gpu.arena();
  try {
    const before = gpu.liveBytes;
    const start = performance.now();
    const copies: (readonly Dispatch[])[] = [];
    let wanted = 1;
    while (copies.length < wanted) {
      copies.push(kernelCase.prepare(arena, caseRandom(1)).dispatches);
      const bytes = (gpu.liveBytes - before) / copies.length;
      wanted = gpu.facts.software || performance.now() - start > PREPARE_MS
        ? copies.length
        : Math.min(MAX_COPIES, Math.ceil(ROTATED_BYTES / bytes));
    }
    const all = copies.flat();
    // Compiles, and zeroes memory.
    gpu.run(all);
    await gpu.settle();
    const device = gpu.features.timestamps
      ? await onDeviceClock(gpu, copies)
      : undefined;
    const first = copies[0]!;
    return {
      ...(device && {
        deviceSeconds: device.median,
        deviceBestSeconds: device.best,
      }),
      rowSeconds: await inARow(gpu, all, all.length / first.length),
      bytes: first.reduce((sum, { bytes }) => sum + bytes, 0),
      flops: first.reduce((sum, { flops }) => sum + flops, 0),
      dispatches: first.length,
      copies: copies.length,
      rotatedBytes: gpu.liveBytes - before,
    };
  } finally {
    arena.destroy();
    await freed(gpu);
  }
}

/**
 * Times dispatches on the device's clock, each in a pass of its own.
 *
 * @param gpu With timestamps.
 * @param copies The same work on inputs that take turns.
 * @param least Milliseconds that are spent at least. @default 150
 * @returns Seconds of one of the copies; undefined where the clock stands still.
 */
export async function onDeviceClock(
  gpu: Gpu,
  copies: readonly (readonly Dispatch[])[],
  least: number = CLOCKED_MS,
): Promise<{ median: number; best: number } | undefined> {
  const work = copies.flat();
  const each = work.length / copies.length;
  const samples: number[] = [];
  const start = performance.now();
  for (
    let round = 0;
    round < MIN_ROUNDS || performance.now() - start < least;
    round++
  ) {
    const seconds = await gpu.profile(work);
    // Clocks rise within the first round.
    if (round === 0) continue;
    for (let i = 0; i < work.length; i += each) {
      const parts = seconds.subarray(i, i + each);
      samples.push(parts.reduce((sum, s) => sum + s, 0));
    }
  }
  samples.sort((a, b) => a - b);
  const median = samples[Math.floor(samples.length / 2)]!;
  // A clock that stands still measures nothing.
  return median > 0 ? { median, best: samples[0]! } : undefined;
}

/**
 * Times dispatches on the host's clock, many in a row, less an empty submit.
 *
 * @param gpu The device.
 * @param all The work on all copies of the inputs.
 * @param copies How many.
 * @returns Seconds of one of the copies.
 */
export async function inARow(
  gpu: Gpu,
  all: readonly Dispatch[],
  copies: number,
): Promise<number> {
  const once = Math.max(await wallSeconds(gpu, all), 1e-6);
  const most = Math.max(1, Math.floor(MAX_DISPATCHES / all.length));
  const repeats = gpu.facts.software
    ? 1
    : Math.max(1, Math.min(most, Math.ceil(SUBMIT_SECONDS / once)));
  const work = Array.from({ length: repeats }, () => all).flat();
  let best = Infinity;
  let empty = Infinity;
  for (let i = 0; i < (gpu.facts.software ? 1 : SUBMITS); i++) {
    empty = Math.min(empty, await wallSeconds(gpu, []));
    best = Math.min(best, await wallSeconds(gpu, work));
  }
  return Math.max(best - empty, 0) / (repeats * copies);
}

async function wallSeconds(
  gpu: Gpu,
  work: readonly Dispatch[],
): Promise<number> {
  const start = performance.now();
  // run() leaves nothing out but this: an empty submit costs its wait.
  if (work.length > 0) gpu.run(work);
  else gpu.device.queue.submit([]);
  await gpu.settle();
  return (performance.now() - start) / 1000;
}

// Destroyed buffers go when the device is waited for; a fault that is still
// pending belongs to the case that just failed.
async function freed(gpu: Gpu): Promise<void> {
  try {
    await gpu.settle();
  } catch {
    // Said by what failed.
  }
}
