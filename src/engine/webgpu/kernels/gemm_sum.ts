// Products of few rows by slices of their columns: slices fill a GPU that rows and
// heights alone leave idle, and what each adds up is summed here.

import type { Arena, Dispatch } from "../device/gpu.ts";
import type { GemmPart } from "./gemm_part.ts";
import type { GemmTile } from "./gemm_tile.ts";
import {
  type Binding,
  dispatchOf,
  ELEMENT_BYTES,
  linearGrid,
  type Param,
  readWgsl,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("gemm_sum.wgsl", import.meta.url);
const THREADS = 128;

/** Sums of slices by arena: products run one after the other, and share them. */
const shared = new WeakMap<Arena, GPUBuffer>();

/**
 * A part of a product as its tile slices it.
 *
 * @param arena Owns the sums.
 * @param part The part.
 * @param tile Its tile.
 * @returns The part with sums of slices as its output, or undefined where there is one slice.
 */
export function slicedPart(
  arena: Arena,
  part: GemmPart,
  tile: GemmTile,
): GemmPart | undefined {
  const { splits = 1 } = tile;
  const stride = roundUp(part.height, tile.columns);
  const size = roundUp(part.rows, tile.rows) * stride;
  const { limits } = arena.gpu.facts;
  const most = Math.floor(
    Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize) /
      (4 * size),
  );
  const steps = Math.ceil(part.weight.columns / tile.depth);
  const wanted = Math.min(splits, most, steps);
  if (wanted < 2) return undefined;
  // Slices are equally long but for the last, which must not be empty.
  const count = Math.ceil(steps / Math.ceil(steps / wanted));
  if (count < 2) return undefined;
  const { bias: _, gated: __, ...rest } = part;
  const buffer = sumsOf(arena, 4 * count * size);
  return {
    ...rest,
    out: { buffer, element: "f32", offset: 0, stride },
    accumulate: false,
    slices: { count, size },
  };
}

/**
 * Sums the slices of a part.
 *
 * @param arena Owns the parameters.
 * @param part The part as a whole: its bias, and where the product goes.
 * @param sliced What has been stored.
 * @returns The dispatch.
 */
export function gemmSum(
  arena: Arena,
  part: GemmPart,
  sliced: GemmPart,
): Dispatch {
  const { rows, out, bias, accumulate, gated = false } = part;
  const height = gated ? part.height / 2 : part.height;
  const { count, size } = sliced.slices!;
  const vector = height % 4 === 0 && isAligned(out, 4);
  const units = Math.ceil(height / 4);
  const bindings: Record<string, Binding> = {
    sums: {
      buffer: sliced.out.buffer,
      type: "array<vec4<f32>>",
      access: "read",
    },
    output: rowBinding(out, vector, "read_write"),
  };
  const params: Record<string, Param> = {
    rows: { u32: rows },
    outColumns: { u32: height },
    units: { u32: units },
    sumsStride: { u32: sliced.out.stride },
    sliceSize: { u32: size },
    outOffset: { u32: out.offset },
    outStride: { u32: out.stride },
  };
  if (bias !== undefined) {
    bindings.bias = { buffer: bias, type: "array<f32>", access: "read" };
    params.biasOffset = { u32: part.weightRow };
  }
  return dispatchOf(arena, {
    label: `gemm sum ${rows} x ${height}, ${count} slices`,
    source: SOURCE,
    constants: {
      THREADS,
      SLICES: count,
      VECTOR: vector,
      BIAS: bias !== undefined,
      ACCUMULATE: accumulate,
      GATED: gated,
      OUT: out.element,
    },
    bindings,
    params,
    grid: linearGrid(arena.gpu, Math.ceil(rows * units / THREADS)),
    bytes: rows * height * ELEMENT_BYTES[out.element] * (accumulate ? 2 : 1),
    flops: 0,
  });
}

/** The arena's buffer for sums, another where it is too small. */
function sumsOf(arena: Arena, bytes: number): GPUBuffer {
  let buffer = shared.get(arena);
  if (buffer === undefined || buffer.size < bytes) {
    buffer = arena.buffer("gemm sums", bytes);
    shared.set(arena, buffer);
  }
  return buffer;
}

function roundUp(number: number, step: number): number {
  return Math.ceil(number / step) * step;
}
