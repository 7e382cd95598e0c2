// Merging heads: all key-value heads of a layer seen as one wide head that every
// query head shares (§4.1; official partial_rope.py:74-83). No number changes;
// what changes is that keys and values of all heads may now be mixed by any
// linear map whose inverse is folded into the query and output sides.

import type { Matrix64, Tensor } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import type { Linear } from "../model/decoder.ts";

/**
 * The key-value head that a query head reads: floor(h G / H).
 *
 * @param queryHead h
 * @param numAttentionHeads H
 * @param numKeyValueHeads G
 * @returns g(h)
 */
export function keyValueHeadOf(
  queryHead: number,
  numAttentionHeads: number,
  numKeyValueHeads: number,
): number {
  return Math.floor(queryHead * numKeyValueHeads / numAttentionHeads);
}

/**
 * A projection as one matrix over [y; 1]: the bias is the last column, zero where there is none.
 *
 * @param linear `[out, in]`
 * @returns `[out, in + 1]`, f64.
 * @throws {ShapeError} If weight and bias do not fit.
 */
export function affineMatrix(linear: Linear): Matrix64 {
  const [rows, inputs] = linear.weight.shape;
  if (linear.weight.shape.length !== 2 || !rows || !inputs) {
    throw new ShapeError(
      `Cannot read a projection as its weight must have 2 axes: current shape is [${linear.weight.shape}]`,
    );
  }
  const bias = linear.bias?.data;
  if (bias !== undefined && bias.length !== rows) {
    throw new ShapeError(
      `Cannot read a projection as its bias must have ${rows} elements: current value is ${bias.length}`,
    );
  }
  const columns = inputs + 1;
  const data = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    data.set(
      linear.weight.data.subarray(row * inputs, (row + 1) * inputs),
      row * columns,
    );
    if (bias !== undefined) data[row * columns + inputs] = bias[row]!;
  }
  return { rows, columns, data };
}

/**
 * The inverse of affineMatrix(), rounded to f32.
 *
 * @param matrix `[out, in + 1]`
 * @param hasBias Whether the last column becomes a bias; if not it must be zero, and is dropped.
 * @returns `[out, in]`
 */
export function linearOf(matrix: Matrix64, hasBias: boolean): Linear {
  const { rows, columns } = matrix;
  const inputs = columns - 1;
  const weight = new Float32Array(rows * inputs);
  const bias = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    weight.set(matrix.data.subarray(start, start + inputs), row * inputs);
    bias[row] = matrix.data[start + inputs]!;
  }
  const weightTensor: Tensor = { shape: [rows, inputs], data: weight };
  return hasBias
    ? { weight: weightTensor, bias: { shape: [rows], data: bias } }
    : { weight: weightTensor };
}
