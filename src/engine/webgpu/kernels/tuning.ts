// Shapes of the linear kernels by device and size. Software adapters compile and
// run small tiles; GPUs get those that were fastest on an H100.

import type { Gpu } from "../device/gpu.ts";

/** How gemv() spreads its work. */
export interface GemvShape {
  /** A subgroup shares a row of W; otherwise a workgroup does. Needs subgroups of one size. */
  readonly subgroups: boolean;
  /** Threads of a workgroup: a power of two, a multiple of the subgroup size. */
  readonly threads: number;
  /** Rows of W a subgroup (or workgroup) has in hand at once. */
  readonly rows: number;
  /** Loads of 8 columns of each row in flight. */
  readonly unroll: number;
}

/**
 * The shape of gemv() for so many rows of x.
 *
 * @param gpu The device.
 * @param columns Rows of x, rounded up to what the kernel computes.
 */
export function gemvShape(gpu: Gpu, columns: number): GemvShape {
  const subgroups = gpu.features.subgroups && gpu.facts.subgroupSize > 0;
  if (gpu.facts.software) return { subgroups, threads: 64, rows: 1, unroll: 1 };
  // More rows of x need more of W in hand for each number of x that is loaded, and
  // more registers for their sums.
  const rows = columns === 1 ? 1 : columns >= 16 ? 2 : columns >= 4 ? 4 : 2;
  const unroll = columns === 1 ? 4 : columns >= 4 ? 1 : 2;
  // Without subgroups, sums of all threads meet in workgroup memory.
  return { subgroups, threads: subgroups ? 256 : 64, rows, unroll };
}
