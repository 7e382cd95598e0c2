// Cutting and stacking f64 matrices.

import type { Matrix64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";

/**
 * Rows `from` to `to` (exclusive) of a matrix, without a copy.
 *
 * @param a `[rows, columns]`
 * @param from The first row.
 * @param to One past the last row.
 * @returns A view `[to - from, columns]`.
 * @throws {RangeError} If the rows are not in the matrix.
 */
export function rowBlock(a: Matrix64, from: number, to: number): Matrix64 {
  if (from < 0 || to < from || to > a.rows) {
    throw new RangeError(
      `Cannot cut rows ${from} to ${to} as the matrix has ${a.rows} rows`,
    );
  }
  return {
    rows: to - from,
    columns: a.columns,
    data: a.data.subarray(from * a.columns, to * a.columns),
  };
}

/**
 * Columns `from` to `to` (exclusive) of a matrix, copied.
 *
 * @param a `[rows, columns]`
 * @param from The first column.
 * @param to One past the last column.
 * @returns `[rows, to - from]`
 * @throws {RangeError} If the columns are not in the matrix.
 */
export function columnBlock(a: Matrix64, from: number, to: number): Matrix64 {
  if (from < 0 || to < from || to > a.columns) {
    throw new RangeError(
      `Cannot cut columns ${from} to ${to} as the matrix has ${a.columns} columns`,
    );
  }
  const columns = to - from;
  const data = new Float64Array(a.rows * columns);
  for (let row = 0; row < a.rows; row++) {
    const start = row * a.columns;
    data.set(a.data.subarray(start + from, start + to), row * columns);
  }
  return { rows: a.rows, columns, data };
}

/**
 * Matrices of equal width, one below the other, copied.
 *
 * @param parts `[rows_i, columns]` each.
 * @returns `[sum of rows_i, columns]`
 * @throws {ShapeError} If the widths differ.
 */
export function stackRows(...parts: readonly Matrix64[]): Matrix64 {
  const columns = parts[0]?.columns ?? 0;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const data = new Float64Array(rows * columns);
  let offset = 0;
  for (const part of parts) {
    if (part.columns !== columns) {
      throw new ShapeError(
        `Cannot stack matrices as all must have ${columns} columns: current value is ${part.columns}`,
      );
    }
    data.set(part.data, offset);
    offset += part.data.length;
  }
  return { rows, columns, data };
}

/**
 * A matrix times a number, copied.
 *
 * @param a Any matrix.
 * @param factor The number.
 * @returns `factor` a, same shape.
 */
export function scaled(a: Matrix64, factor: number): Matrix64 {
  const data = new Float64Array(a.data.length);
  for (let i = 0; i < data.length; i++) data[i] = a.data[i]! * factor;
  return { ...a, data };
}

/**
 * The sum of a square matrix's diagonal over rows `from` to `to` (exclusive).
 *
 * @param a `[n, n]`
 * @param from The first row. @default 0
 * @param to One past the last row. @default n
 * @returns The partial trace.
 */
export function trace(a: Matrix64, from = 0, to = a.rows): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += a.data[i * a.columns + i]!;
  return sum;
}

/**
 * A square matrix's diagonal, copied.
 *
 * @param a `[n, n]`
 * @returns `[n]`
 */
export function diagonal(a: Matrix64): Float64Array {
  return Float64Array.from(
    { length: a.rows },
    (_, i) => a.data[i * a.columns + i]!,
  );
}

/**
 * The diagonal of A B^T without the product: of A A^T, each row's energy.
 *
 * @param a `[rows, columns]`
 * @param b `[rows, columns]` @default a
 * @returns `[rows]`
 * @throws {ShapeError} If the shapes differ.
 */
export function rowProducts(a: Matrix64, b: Matrix64 = a): Float64Array {
  if (a.rows !== b.rows || a.columns !== b.columns) {
    throw new ShapeError(
      `Cannot multiply rows as both matrices must be [${a.rows}, ${a.columns}]: current shape is [${b.rows}, ${b.columns}]`,
    );
  }
  const products = new Float64Array(a.rows);
  for (let row = 0; row < a.rows; row++) {
    let sum = 0;
    const end = (row + 1) * a.columns;
    for (let i = row * a.columns; i < end; i++) sum += a.data[i]! * b.data[i]!;
    products[row] = sum;
  }
  return products;
}

/**
 * Copies the lower triangle of a square matrix to the upper, in place: products
 * that are symmetric in theory become so exactly.
 *
 * @param a `[n, n]`
 */
export function mirrorLower({ rows: n, data }: Matrix64): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) data[j * n + i] = data[i * n + j]!;
  }
}
