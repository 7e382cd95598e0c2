// A dense row-major array with a shape. Weights are f32 in memory; statistics
// and everything that conversions compute with are f64.

import { ShapeError } from "./errors.ts";
import type { Seeded } from "./seeded_tensor.ts";

/** A dense f32 tensor, row-major, outermost axis first. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** How its numbers are made, where they are seeded: then reading `data` makes them. */
  readonly seeded?: Seeded;
}

/** A dense f64 matrix `[rows, columns]`, row-major. */
export interface Matrix64 {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/**
 * Makes a tensor over `data`, without a copy.
 *
 * @param data The elements, row-major.
 * @param shape The axes, outermost first.
 * @returns The tensor.
 * @throws {ShapeError} If the shape does not have as many elements as `data`.
 */
export function tensor(
  data: Float32Array,
  shape: readonly number[],
): Tensor {
  const size = elementsOf({ shape });
  if (size !== data.length) {
    throw new ShapeError(
      `Cannot make a tensor as shape [${shape}] must have ${data.length} elements: current value is ${size}`,
    );
  }
  return { shape, data };
}

/** Elements that a shape has; of a seeded tensor none need be made to count them. */
export function elementsOf({ shape }: Pick<Tensor, "shape">): number {
  return shape.reduce((product, axis) => product * axis, 1);
}

/** A zero matrix `[rows, columns]`. */
export function zeros64(rows: number, columns: number): Matrix64 {
  return { rows, columns, data: new Float64Array(rows * columns) };
}

/** Widens a two-axis tensor `[rows, columns]` to f64. */
export function toMatrix64(from: Tensor): Matrix64 {
  const [rows, columns] = from.shape;
  if (from.shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new ShapeError(
      `Cannot widen a tensor to a matrix as it must have 2 axes: current shape is [${from.shape}]`,
    );
  }
  return { rows, columns, data: Float64Array.from(from.data) };
}

/** Rounds an f64 matrix to an f32 tensor of the same two axes. */
export function toTensor(from: Matrix64): Tensor {
  return {
    shape: [from.rows, from.columns],
    data: Float32Array.from(from.data),
  };
}
