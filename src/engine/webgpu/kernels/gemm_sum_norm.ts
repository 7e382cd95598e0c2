// What follows a product that adds to the residual stream: the stream's norm, in the
// dispatch that sums the product's slices.

import type { Arena, Dispatch } from "../device/gpu.ts";
import type { GemmPart } from "./gemm_part.ts";
import {
  type Binding,
  dispatchOf,
  ELEMENT_BYTES,
  linearGrid,
  type Param,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("gemm_sum_norm.wgsl", import.meta.url);

/** Most threads of a row, and most fours of a row that a thread keeps. */
const MOST_THREADS = 512;
const MOST_UNITS = 8;

/** The norm of what a product has been added to. */
export interface NextNorm {
  /** f32[rows of W]. */
  readonly weight: GPUBuffer;
  /** [rows, rows of W]. */
  readonly out: View;
  readonly eps: number;
}

/**
 * Sums the slices of a part that is the whole product, adds them to its output and
 * stores the norm of that.
 *
 * @param arena Owns the parameters.
 * @param part The part, which accumulates.
 * @param sliced What has been stored.
 * @param next The norm.
 * @returns The dispatch, or undefined where it cannot be one.
 */
export function gemmSumNorm(
  arena: Arena,
  part: GemmPart,
  sliced: GemmPart,
  next: NextNorm,
): Dispatch | undefined {
  const { rows, height, out, bias, accumulate } = part;
  const { count, size } = sliced.slices!;
  const units = height / 4;
  const threads = threadsFor(arena, units);
  const perThread = Math.ceil(units / threads);
  const isWhole = part.weight.rows === height && accumulate &&
    out.element === "f32";
  if (
    !isWhole || height % 4 !== 0 || perThread > MOST_UNITS ||
    !isAligned(out, 4) || !isAligned(next.out, 4)
  ) {
    return undefined;
  }
  const bindings: Record<string, Binding> = {
    sums: {
      buffer: sliced.out.buffer,
      type: "array<vec4<f32>>",
      access: "read",
    },
    output: rowBinding(out, true, "read_write"),
    norm: rowBinding(next.out, true, "read_write"),
    weight: { buffer: next.weight, type: "array<vec4<f32>>", access: "read" },
  };
  const params: Record<string, Param> = {
    rows: { u32: rows },
    units: { u32: units },
    sumsStride: { u32: sliced.out.stride },
    sliceSize: { u32: size },
    outOffset: { u32: out.offset },
    outStride: { u32: out.stride },
    normOffset: { u32: next.out.offset },
    normStride: { u32: next.out.stride },
    eps: { f32: next.eps },
  };
  if (bias !== undefined) {
    bindings.bias = { buffer: bias, type: "array<vec4<f32>>", access: "read" };
    params.biasOffset = { u32: part.weightRow };
  }
  return dispatchOf(arena, {
    label: `gemm sum, norm ${rows} x ${height}, ${count} slices`,
    source: SOURCE,
    constants: {
      THREADS: threads,
      HALVINGS: Math.log2(threads),
      UNITS: perThread,
      SLICES: count,
      BIAS: bias !== undefined,
      OUT: next.out.element,
    },
    bindings,
    params,
    grid: linearGrid(arena.gpu, rows),
    bytes: rows * height * (8 + ELEMENT_BYTES[next.out.element]) + 4 * height,
    flops: 4 * rows * height,
  });
}

/** A power of two; software adapters are slow at barriers. */
function threadsFor({ gpu: { facts } }: Arena, units: number): number {
  const most = facts.software
    ? 16
    : Math.min(MOST_THREADS, facts.limits.maxComputeInvocationsPerWorkgroup);
  return 2 ** Math.floor(Math.log2(Math.min(most, Math.max(1, units))));
}
