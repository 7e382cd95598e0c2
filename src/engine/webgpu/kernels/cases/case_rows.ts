// Random matrices for kernel cases: on the device as a kernel reads them, and as
// the f64 oracle reads them, rounded alike.

import { fromFloat32, toFloat32 } from "../../../../base/dtype.ts";
import type { Arena } from "../../device/gpu.ts";
import { type Element, ELEMENT_BYTES, type View } from "../kernel.ts";
import type { CaseRandom } from "./kernel_case.ts";

/** Rows of random numbers in both places. */
export interface CaseRows {
  readonly view: View;
  /** The whole buffer's numbers; NaN outside the rows. */
  readonly data: Float64Array;
  /** Element [row, column]. */
  at(row: number, column: number): number;
}

/** What random rows look like. */
export interface CaseRowsOptions {
  readonly rows: number;
  readonly width: number;
  /** @default "f32" */
  readonly element?: Element;
  /** @default 0 */
  readonly offset?: number;
  /** @default width */
  readonly stride?: number;
  /** Standard deviation. @default 1 */
  readonly std?: number;
  /** Rows that are NaN on the device: what no kernel may let through. */
  readonly poisoned?: (row: number) => boolean;
}

/**
 * Makes random rows; what lies between and around them is NaN.
 *
 * @param arena Owns the buffer.
 * @param random Seeded numbers.
 * @param options Sizes.
 * @returns The rows.
 */
export function caseRows(
  arena: Arena,
  random: CaseRandom,
  options: CaseRowsOptions,
): CaseRows {
  const { rows, width, element = "f32", offset = 0, std = 1 } = options;
  const stride = options.stride ?? width;
  const values = new Float32Array(offset + rows * stride).fill(NaN);
  const numbers = random.normal(rows * width, std);
  for (let i = 0; i < rows; i++) {
    if (options.poisoned?.(i)) continue;
    values.set(
      numbers.subarray(i * width, (i + 1) * width),
      offset + i * stride,
    );
  }
  const bytes = fromFloat32(values, element);
  const data = Float64Array.from(toFloat32(bytes, element));
  return {
    view: { buffer: arena.upload("rows", bytes), element, offset, stride },
    data,
    at: (row, column) => data[offset + row * stride + column]!,
  };
}

/**
 * Rows of zeros, for benches.
 *
 * @param arena Owns the buffer.
 * @param options Sizes; `std` and `poisoned` have no effect.
 * @returns The view.
 */
export function zeroRows(arena: Arena, options: CaseRowsOptions): View {
  const { rows, width, element = "f32", offset = 0 } = options;
  const stride = options.stride ?? width;
  const bytes = (offset + rows * stride) * ELEMENT_BYTES[element];
  return { buffer: arena.buffer("rows", bytes), element, offset, stride };
}
