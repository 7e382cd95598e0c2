// The gate of a gated MLP: silu(gate)·up.

import type { Arena, Dispatch } from "../device/gpu.ts";
import {
  dispatchOf,
  ELEMENT_BYTES,
  linearGrid,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("gated_silu.wgsl", import.meta.url);
const THREADS = 128;

/** What gatedSilu() takes. */
export interface GatedSiluArgs {
  /** [rows, 2·width]: the gate, then the up part. */
  readonly x: View;
  /** [rows, width]; another buffer than that of `x`. */
  readonly out: View;
  readonly rows: number;
  readonly width: number;
}

/**
 * out[i, j] = silu(x[i, j]) · x[i, width + j]; what f16 cannot hold becomes the
 * largest that it can.
 *
 * @param arena Owns the parameters.
 * @param args Input and output.
 * @returns One dispatch.
 */
export function gatedSilu(arena: Arena, args: GatedSiluArgs): Dispatch[] {
  const { x, out, rows, width } = args;
  const vector = width % 4 === 0 && isAligned(x, 4) && isAligned(out, 4);
  const per = vector ? 4 : 1;
  const chunks = Math.ceil(width / (THREADS * per));
  return [dispatchOf(arena, {
    label: `gatedSilu ${rows}x${width}`,
    source: SOURCE,
    constants: {
      THREADS,
      PER: per,
      VECTOR: vector,
      OUT: out.element,
      HALF: out.element === "f16",
    },
    bindings: {
      x: rowBinding(x, vector, "read"),
      output: rowBinding(out, vector, "read_write"),
    },
    params: {
      rows: { u32: rows },
      width: { u32: width },
      chunks: { u32: chunks },
      xOffset: { u32: x.offset },
      xStride: { u32: x.stride },
      outOffset: { u32: out.offset },
      outStride: { u32: out.stride },
    },
    grid: linearGrid(arena.gpu, rows * chunks),
    bytes: rows * width *
      (2 * ELEMENT_BYTES[x.element] + ELEMENT_BYTES[out.element]),
    flops: 5 * rows * width,
  })];
}
