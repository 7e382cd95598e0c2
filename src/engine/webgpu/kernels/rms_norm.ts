// RMSNorm of rows of activations.

import type { Arena, Dispatch } from "../device/gpu.ts";
import {
  dispatchOf,
  ELEMENT_BYTES,
  linearGrid,
  readWgsl,
  type View,
} from "./kernel.ts";
import { reductionThreads } from "./tuning.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("rms_norm.wgsl", import.meta.url);

/** What rmsNorm() takes. */
export interface RmsNormArgs {
  /** [rows, width]. */
  readonly x: View;
  /** f32[width]. */
  readonly weight: GPUBuffer;
  /** [rows, width]; another buffer than that of `x`. */
  readonly out: View;
  readonly rows: number;
  readonly width: number;
  readonly eps: number;
  /** Threads of a row; a power of two. @default up to 256 with two vectors each, but 16 on software adapters, where barriers are slow */
  readonly threads?: number;
}

/**
 * out[i] = x[i] / sqrt(mean(x[i]²) + eps) · weight, the mean and the scale in f32.
 *
 * @param arena Owns the parameters.
 * @param args Input, weight, output.
 * @returns One dispatch.
 */
export function rmsNorm(arena: Arena, args: RmsNormArgs): Dispatch[] {
  const { x, weight, out, rows, width, eps } = args;
  const threads = args.threads ??
    Math.min(reductionThreads(arena.gpu), threadsFor(width));
  const vector = width % 4 === 0 && isAligned(x, 4) && isAligned(out, 4);
  return [dispatchOf(arena, {
    label: `rmsNorm ${rows}x${width}`,
    source: SOURCE,
    constants: {
      THREADS: threads,
      HALVINGS: Math.log2(threads),
      VECTOR: vector,
      OUT: out.element,
    },
    bindings: {
      x: rowBinding(x, vector, "read"),
      weight: {
        buffer: weight,
        type: vector ? "array<vec4<f32>>" : "array<f32>",
        access: "read",
      },
      output: rowBinding(out, vector, "read_write"),
    },
    params: {
      rows: { u32: rows },
      width: { u32: width },
      xOffset: { u32: x.offset },
      xStride: { u32: x.stride },
      outOffset: { u32: out.offset },
      outStride: { u32: out.stride },
      eps: { f32: eps },
    },
    grid: linearGrid(arena.gpu, rows),
    bytes: rows * width *
        (ELEMENT_BYTES[x.element] + ELEMENT_BYTES[out.element]) + 4 * width,
    flops: 4 * rows * width,
  })];
}

/** Threads of which each has two vectors of a row or more: with fewer, most would idle in the last turn. */
function threadsFor(width: number): number {
  return 2 ** Math.max(5, Math.floor(Math.log2(width / 8)));
}
