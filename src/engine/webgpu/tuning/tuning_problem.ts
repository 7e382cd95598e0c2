// What `deno task tune` solves: one size of one kernel, the shapes that could be
// fastest there, and inputs to run them on.

import { contentKey } from "../../../base/content_key.ts";
import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { fill } from "../kernels/fill.ts";
import {
  type Element,
  ELEMENT_BYTES,
  type GpuMatrix,
  padded,
  type View,
} from "../kernels/kernel.ts";
import type { TunedShape } from "../kernels/tuning_table.ts";

/** Families of kernels that have shapes. */
export type TunedFamily = "gemm" | "gemv" | "attention";

/** A product of x [rows, width] with W [height, width] in the steps of a model. */
export interface TunedProduct {
  readonly rows: number;
  readonly height: number;
  readonly width: number;
  /** Of W. */
  readonly element: Element;
  /** Times in a step. */
  readonly times: number;
  /** Dispatches before and after it that gemv() needs not and gemm() does. */
  readonly around: number;
}

/** One size of one kernel. */
export interface TuningProblem {
  readonly family: TunedFamily;
  readonly kernel: string;
  /** Where tables keep it. */
  readonly key: string;
  /** Sizes of a kin reach about the same share of what the device can do. */
  readonly kin: string;
  /** Where it is a product. */
  readonly product?: TunedProduct;
  /** Bytes that must move and operations that must be done. */
  readonly bytes: number;
  readonly flops: number;
  /** Of the time of the steps that it is part of, summed over them: what tuning it is worth. */
  readonly share: number;
  /** Bytes of its inputs, once. */
  readonly inputBytes: number;
  /**
   * @param gpu The device.
   * @returns Shapes that it can run, the default first; empty where it has but one way.
   */
  shapes(gpu: Gpu): readonly TunedShape[];
  /** Shapes by the kernels whose tables keep one of shapes(). */
  tables(shape: TunedShape): Readonly<Record<string, TunedShape>>;
  /**
   * Makes inputs.
   *
   * @param arena Owns them.
   */
  prepare(arena: Arena): PreparedProblem;
}

/** A problem with its inputs on the device. */
export interface PreparedProblem {
  /** The buffers that show whether a shape is right. */
  readonly outputs: readonly View[];
  /**
   * @param arena Owns parameters and sums in parts.
   * @param shape One of shapes().
   */
  dispatches(arena: Arena, shape: TunedShape): Dispatch[];
}

/**
 * Shapes without those that are there already; one slice is as none.
 *
 * @param shapes As kernels have them.
 * @returns The same order.
 */
export function distinctShapes(shapes: readonly object[]): TunedShape[] {
  const known = new Map<string, TunedShape>();
  for (const shape of shapes) {
    const entries = Object.entries(shape).filter(([, value]) =>
      value !== undefined
    );
    const key = contentKey(Object.fromEntries(
      entries.filter(([name, value]) => !(name === "splits" && value === 1)),
    ));
    if (!known.has(key)) known.set(key, Object.fromEntries(entries));
  }
  return [...known.values()];
}

/**
 * Rows of seeded numbers.
 *
 * @param arena Owns them.
 * @param rows Rows.
 * @param width Columns.
 * @param element Type of the numbers.
 * @param deviation Standard deviation.
 * @param seed Of the numbers.
 */
export function seededRows(
  arena: Arena,
  rows: number,
  width: number,
  element: Element,
  deviation: number,
  seed: number,
): View {
  const out = emptyRows(arena, rows, padded(width), element);
  // Uniform numbers in [-a, a) have a standard deviation of a / √3.
  const scale = Math.fround(deviation * Math.sqrt(3));
  arena.gpu.run(fill(arena, {
    out,
    rows,
    columns: width,
    seeded: { seed, scale, first: 0 },
  }));
  return out;
}

/** Rows of zeros. */
export function emptyRows(
  arena: Arena,
  rows: number,
  width: number,
  element: Element,
): View {
  const bytes = rows * width * ELEMENT_BYTES[element];
  const buffer = arena.buffer("tuning", bytes);
  return { buffer, element, offset: 0, stride: width };
}

/**
 * A matrix of seeded numbers whose products with numbers of a deviation of 1 have
 * that, too.
 *
 * @param arena Owns it.
 * @param height Rows.
 * @param width Columns.
 * @param element Type of the numbers.
 */
export function seededMatrix(
  arena: Arena,
  height: number,
  width: number,
  element: Element,
): GpuMatrix {
  const { buffer, stride } = seededRows(
    arena,
    height,
    width,
    element,
    1 / Math.sqrt(width),
    2,
  );
  return {
    rows: height,
    columns: width,
    stride,
    element,
    parts: [{ buffer, firstRow: 0, rows: height }],
  };
}
