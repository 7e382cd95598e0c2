// Weights on the device: rows padded to a multiple of 8 with zeros, split where
// one binding cannot hold them, f16 where the engine computes from f16. Seeded
// ones are made there: their numbers never exist on the host.

import type { Seeded } from "../../../base/seeded_tensor.ts";
import type { Tensor } from "../../../base/tensor.ts";
import type { Linear } from "../../../model/decoder.ts";
import type { Arena, Dispatch } from "../device/gpu.ts";
import { fill } from "../kernels/fill.ts";
import {
  type Element,
  ELEMENT_BYTES,
  type GpuMatrix,
  padded,
  type View,
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
  /** Instead of reading `data`. */
  readonly seeded?: Seeded;
  /** Not read where all that is uploaded is seeded. */
  data(): Float32Array;
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
  const isSeeded = blocks.every(({ seeded }) => seeded !== undefined);
  const parts: { buffer: GPUBuffer; firstRow: number; rows: number }[] = [];
  for (let firstRow = 0; firstRow < rows; firstRow += rowsPerPart) {
    const count = Math.min(rowsPerPart, rows - firstRow);
    const part = { firstRow, rows: count };
    const buffer = isSeeded
      ? arena.buffer(label, count * rowBytes)
      : arena.upload(label, packRows(blocks, part, stride, element));
    if (isSeeded) {
      const view = { buffer, element, offset: 0, stride };
      arena.gpu.run(fillRows(arena, blocks, part, view));
    }
    parts.push({ buffer, ...part });
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
export function rowsOf(tensor: Tensor): Rows {
  return rowBlockOf(tensor, 0, tensor.shape[0]!);
}

/**
 * Some rows of a two-axis tensor.
 *
 * @param tensor [rows, columns].
 * @param first The first of them.
 * @param rows How many.
 */
export function rowBlockOf(tensor: Tensor, first: number, rows: number): Rows {
  const columns = tensor.shape[1]!;
  const start = first * columns;
  const { seeded } = tensor;
  return {
    rows,
    columns,
    data: () => tensor.data.subarray(start, start + rows * columns),
    ...(seeded === undefined
      ? {}
      : { seeded: { ...seeded, first: seeded.first + start } }),
  };
}

/** Rows that lie in one buffer. */
interface Part {
  readonly firstRow: number;
  readonly rows: number;
}

/** What of each block lies in a part: rows [start, end) of the stack, the block's first being `top`. */
function* within(
  blocks: readonly Rows[],
  { firstRow, rows }: Part,
): Generator<{ block: Rows; top: number; start: number; end: number }> {
  let top = 0;
  for (const block of blocks) {
    const start = Math.max(firstRow, top);
    const end = Math.min(firstRow + rows, top + block.rows);
    if (start < end) yield { block, top, start, end };
    top += block.rows;
  }
}

/** Makes the part's rows on the device; what pads them is zero already. */
function fillRows(
  arena: Arena,
  blocks: readonly Rows[],
  part: Part,
  to: View,
): Dispatch[] {
  return [...within(blocks, part)].flatMap(({ block, top, start, end }) => {
    const { columns, seeded } = block;
    return fill(arena, {
      out: { ...to, offset: (start - part.firstRow) * to.stride },
      rows: end - start,
      columns,
      seeded: { ...seeded!, first: seeded!.first + (start - top) * columns },
    });
  });
}

/** The part's rows, padded; without a copy where nothing changes. */
function packRows(
  blocks: readonly Rows[],
  part: Part,
  stride: number,
  element: Element,
): Float32Array | Float16Array {
  const columns = blocks[0]!.columns;
  const { firstRow, rows } = part;
  if (element === "f16") checkHalves(blocks);
  if (blocks.length === 1 && stride === columns && element === "f32") {
    const data = blocks[0]!.data();
    return data.subarray(firstRow * columns, (firstRow + rows) * columns);
  }
  const packed = element === "f16"
    ? new Float16Array(rows * stride)
    : new Float32Array(rows * stride);
  for (const { block, top, start, end } of within(blocks, part)) {
    const data = block.data();
    if (stride === columns) {
      packed.set(
        data.subarray((start - top) * columns, (end - top) * columns),
        (start - firstRow) * stride,
      );
      continue;
    }
    for (let row = start; row < end; row++) {
      const from = (row - top) * columns;
      packed.set(
        data.subarray(from, from + columns),
        (row - firstRow) * stride,
      );
    }
  }
  return packed;
}

/** The largest f16 that is not infinite. */
const LARGEST_HALF = 65504;

function checkHalves(blocks: readonly Rows[]): void {
  for (const block of blocks) {
    const data = block.data();
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
