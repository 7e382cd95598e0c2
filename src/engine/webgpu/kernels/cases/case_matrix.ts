// Random weight matrices and outputs of kernel cases: on the device as a kernel
// reads them, and as the f64 oracle reads them, rounded alike.

import { fromFloat32, toFloat32 } from "../../../../base/dtype.ts";
import type { Arena } from "../../device/gpu.ts";
import {
  type Element,
  ELEMENT_BYTES,
  type GpuMatrix,
  padded,
  type View,
} from "../kernel.ts";
import type { CaseOutput, CaseRandom } from "./kernel_case.ts";

/** A weight matrix in both places. */
export interface CaseMatrix {
  readonly matrix: GpuMatrix;
  /** Element [row, column]. */
  at(row: number, column: number): number;
}

/** What a weight matrix looks like. */
export interface CaseMatrixOptions {
  readonly rows: number;
  readonly columns: number;
  readonly element: Element;
  /** Rows of each part but the last. @default rows */
  readonly rowsPerPart?: number;
  /** Standard deviation. @default 1 */
  readonly std?: number;
}

/**
 * Makes a random weight matrix, its padding zero.
 *
 * @param arena Owns the buffers.
 * @param random Seeded numbers.
 * @param options Sizes.
 * @returns The matrix.
 */
export function caseMatrix(
  arena: Arena,
  random: CaseRandom,
  options: CaseMatrixOptions,
): CaseMatrix {
  const { rows, columns, element, rowsPerPart = rows, std = 1 } = options;
  const stride = padded(columns);
  const values = new Float32Array(rows * stride);
  const numbers = random.normal(rows * columns, std);
  for (let i = 0; i < rows; i++) {
    values.set(numbers.subarray(i * columns, (i + 1) * columns), i * stride);
  }
  const bytes = fromFloat32(values, element);
  const rounded = toFloat32(bytes, element);
  const rowBytes = stride * ELEMENT_BYTES[element];
  const parts: GpuMatrix["parts"][number][] = [];
  for (let firstRow = 0; firstRow < rows; firstRow += rowsPerPart) {
    const count = Math.min(rowsPerPart, rows - firstRow);
    const from = firstRow * rowBytes;
    const part = bytes.subarray(from, from + count * rowBytes);
    parts.push({ buffer: arena.upload("part", part), firstRow, rows: count });
  }
  return {
    matrix: { rows, columns, stride, element, parts },
    at: (row, column) => rounded[row * stride + column]!,
  };
}

/**
 * A weight matrix of zeros in one part, for benches.
 *
 * @param arena Owns the buffer.
 * @param options Sizes.
 * @returns The matrix.
 */
export function zeroMatrix(
  arena: Arena,
  options: CaseMatrixOptions,
): GpuMatrix {
  const { rows, columns, element } = options;
  const stride = padded(columns);
  const buffer = arena.buffer("part", rows * stride * ELEMENT_BYTES[element]);
  return {
    rows,
    columns,
    stride,
    element,
    parts: [{ buffer, firstRow: 0, rows }],
  };
}

/** Where an output lies, and what has to be there. */
export interface CaseRowsOut {
  readonly view: View;
  /** Rows that are written, and columns of each from `firstColumn`. */
  readonly rows: number;
  readonly firstColumn?: number;
  readonly columns: number;
  /** The answer at [row, column], the column counted from `firstColumn`. */
  answer(row: number, column: number): number;
  /** What the buffer held before, for kernels that add to it; the rest must stay. */
  readonly before?: Float64Array;
  readonly atol: number;
  readonly rtol: number;
}

/**
 * The output of a case: rows of a view are written, all else keeps what was there.
 *
 * @param out The view and the answer.
 * @returns The output.
 */
export function rowsOutput(
  out: CaseRowsOut,
): CaseOutput & { readonly keep?: boolean } {
  const { view, rows, firstColumn = 0, columns, before } = out;
  const length = Math.floor(view.buffer.size / ELEMENT_BYTES[view.element]);
  const expected = new Float64Array(length).fill(NaN);
  if (before !== undefined) expected.set(before);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = view.offset + i * view.stride + firstColumn + j;
      expected[at] = out.answer(i, j);
    }
  }
  return {
    name: "out",
    buffer: view.buffer,
    element: view.element,
    expected,
    atol: out.atol,
    rtol: out.rtol,
    ...(before === undefined ? {} : { keep: true }),
  };
}
