// A part of a weight matrix in a product of many rows, and what all tiled kernels
// need for it.

import {
  type Binding,
  ELEMENT_BYTES,
  type GpuMatrix,
  type KernelUse,
  type Param,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const LOAD_X = readWgsl("load_x.wgsl", import.meta.url);

/** `store()` of a product, with its bias and what it is added to. */
export const STORE_PRODUCT = readWgsl("store_product.wgsl", import.meta.url);

/** Rows of one buffer of W times all rows of x. */
export interface GemmPart {
  readonly x: View;
  readonly rows: number;
  readonly weight: GpuMatrix;
  readonly buffer: GPUBuffer;
  /** Rows of the buffer before the first that is used, and rows used. */
  readonly skipped: number;
  readonly height: number;
  /** Row of W that this first row is: where its bias is. */
  readonly weightRow: number;
  readonly bias?: GPUBuffer;
  /** Begins at the column that the first row goes to. */
  readonly out: View;
  readonly accumulate: boolean;
  /** Stores silu(first half)·(second half), of the rows of W; `out` is half as wide. */
  readonly gated?: boolean;
  /** Slices of the columns: each is stored on its own, `out` being the first, with room for whole tiles. */
  readonly slices?: Slices;
}

/** Slices of the columns of W. */
export interface Slices {
  readonly count: number;
  /** Numbers of `out` from one slice to the next. */
  readonly size: number;
}

/** The part of a dispatch that does not depend on the tile. */
export type GemmUse = Omit<KernelUse, "grid" | "source"> & {
  /** Functions that the kernel's source goes after. */
  readonly prelude: string;
};

/**
 * Bindings and parameters of a product, with functions that read x.
 *
 * @param part The product.
 * @param weightType WGSL type of the buffer of W.
 * @param depth Columns of a tile.
 */
export function gemmUse(
  part: GemmPart,
  weightType: string,
  depth: number,
): GemmUse {
  const { x, rows, weight, bias, out, accumulate, height, slices } = part;
  const outColumns = part.gated === true ? height / 2 : height;
  const steps = Math.ceil(weight.columns / depth);
  const vector = weight.columns % 4 === 0 && isAligned(x, 4);
  const bindings: Record<string, Binding> = {
    x: rowBinding(x, vector, "read"),
    weight: { buffer: part.buffer, type: weightType, access: "read" },
    output: rowBinding(out, false, "read_write"),
  };
  const params: Record<string, Param> = {
    rows: { u32: rows },
    columns: { u32: weight.columns },
    steps: { u32: steps },
    xOffset: { u32: x.offset },
    xStride: { u32: x.stride },
    wStride: { u32: weight.stride },
    firstRow: { u32: part.skipped },
    lastRow: { u32: part.skipped + height - 1 },
    outOffset: { u32: out.offset },
    outStride: { u32: out.stride },
    outColumns: { u32: outColumns },
  };
  if (bias !== undefined) {
    bindings.bias = { buffer: bias, type: "array<f32>", access: "read" };
    params.biasOffset = { u32: part.weightRow };
  }
  if (slices !== undefined) {
    params.sliceSteps = { u32: Math.ceil(steps / slices.count) };
    params.sliceSize = { u32: slices.size };
  }
  const result = slices === undefined
    ? rows * outColumns * ELEMENT_BYTES[out.element] * (accumulate ? 2 : 1)
    : 0;
  return {
    label: `gemm ${rows} x ${height}x${weight.columns} ${weight.element}`,
    prelude: LOAD_X,
    constants: {
      X_VECTOR: vector,
      HALF: weight.element === "f16",
      BIAS: bias !== undefined,
      ACCUMULATE: accumulate,
      OUT: out.element,
      SLICED: slices !== undefined,
      WHOLE: weight.columns % depth === 0,
    },
    bindings,
    params,
    bytes: height * weight.stride * ELEMENT_BYTES[weight.element] +
      rows * weight.columns * ELEMENT_BYTES[x.element] + result,
    flops: 2 * rows * height * weight.columns,
  };
}
