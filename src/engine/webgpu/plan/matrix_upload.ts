// Weights on the device: rows padded to a multiple of 8 with zeros, split where
// one binding cannot hold them, f16 where the engine computes from f16.

import type { Tensor } from "../../../base/tensor.ts";
import type { Linear } from "../../../model/decoder.ts";
import type { Arena } from "../device/gpu.ts";
import {
  type Element,
  ELEMENT_BYTES,
  type GpuMatrix,
  padded,
} from "../kernels/kernel.ts";
import { bindingBytes } from "./scratch.ts";

/** A projection on the device. */
export interface GpuLinear {
  readonly weight: GpuMatrix;
  /** f32 [rows]; absent where no stacked part has one. */
  readonly bias?: GPUBuffer;
}

/** Rows of a matrix as they come: [rows, columns], row-major. */
export interface Rows {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/**
 * Uploads matrices as one, stacked by rows.
 *
 * @param arena Owns the buffers.
 * @param label Names them in errors.
 * @param blocks Matrices of equal width, top to bottom.
 * @param element How numbers are stored; f32 is rounded to f16.
 */
export function uploadMatrix(
  arena: Arena,
  label: string,
  blocks: readonly Rows[],
  element: Element,
): GpuMatrix {
  const columns = blocks[0]!.columns;
  const rows = blocks.reduce((sum, block) => sum + block.rows, 0);
  const stride = padded(columns);
  const rowBytes = stride * ELEMENT_BYTES[element];
  const rowsPerPart = Math.max(1, Math.floor(bindingBytes(arena) / rowBytes));
  const parts: { buffer: GPUBuffer; firstRow: number; rows: number }[] = [];
  for (let firstRow = 0; firstRow < rows; firstRow += rowsPerPart) {
    const count = Math.min(rowsPerPart, rows - firstRow);
    const data = packRows(blocks, firstRow, count, stride, element);
    parts.push({ buffer: arena.upload(label, data), firstRow, rows: count });
  }
  return { rows, columns, stride, element, parts };
}

/**
 * Uploads projections as one, stacked by rows, so that one product computes all.
 *
 * @param arena Owns the buffers.
 * @param label Names them in errors.
 * @param linears Projections of the same input, top to bottom.
 * @param element How weights are stored; biases are f32.
 */
export function uploadLinear(
  arena: Arena,
  label: string,
  linears: readonly Linear[],
  element: Element,
): GpuLinear {
  const weight = uploadMatrix(
    arena,
    label,
    linears.map(({ weight }) => rowsOf(weight)),
    element,
  );
  if (linears.every(({ bias }) => bias === undefined)) return { weight };
  const bias = new Float32Array(weight.rows);
  let at = 0;
  for (const linear of linears) {
    if (linear.bias !== undefined) bias.set(linear.bias.data, at);
    at += linear.weight.shape[0]!;
  }
  return { weight, bias: arena.upload(`${label}.bias`, bias) };
}

/** A two-axis tensor as rows. */
export function rowsOf({ shape, data }: Tensor): Rows {
  return { rows: shape[0]!, columns: shape[1]!, data };
}

/** Rows [firstRow, firstRow + count) of the stack, padded; without a copy where nothing changes. */
function packRows(
  blocks: readonly Rows[],
  firstRow: number,
  count: number,
  stride: number,
  element: Element,
): Float32Array | Float16Array {
  const columns = blocks[0]!.columns;
  if (element === "f16") checkHalves(blocks);
  if (blocks.length === 1 && stride === columns && element === "f32") {
    const { data } = blocks[0]!;
    return data.subarray(firstRow * columns, (firstRow + count) * columns);
  }
  const packed = element === "f16"
    ? new Float16Array(count * stride)
    : new Float32Array(count * stride);
  let top = 0;
  for (const block of blocks) {
    const start = Math.max(firstRow, top);
    const end = Math.min(firstRow + count, top + block.rows);
    if (start < end && stride === columns) {
      packed.set(
        block.data.subarray((start - top) * columns, (end - top) * columns),
        (start - firstRow) * stride,
      );
    } else {
      for (let row = start; row < end; row++) {
        const from = (row - top) * columns;
        packed.set(
          block.data.subarray(from, from + columns),
          (row - firstRow) * stride,
        );
      }
    }
    top += block.rows;
  }
  return packed;
}

/** The largest f16 that is not infinite. */
const LARGEST_HALF = 65504;

function checkHalves(blocks: readonly Rows[]): void {
  for (const { data } of blocks) {
    for (let i = 0; i < data.length; i++) {
      if (Math.abs(data[i]!) <= LARGEST_HALF) continue;
      throw new RangeError(
        `Cannot store weights as f16 as they must be within +-${LARGEST_HALF}: current value is ${
          data[i]
        }; use dtype "f32"`,
      );
    }
  }
}
