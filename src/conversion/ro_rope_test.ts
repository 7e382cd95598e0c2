import { assert, assertThrows } from "@std/assert";
import type { Matrix64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { type FreqFold, freqFoldOf } from "./freq_fold.ts";
import { roRopeRotations, rotationBasis } from "./ro_rope.ts";

/** Gram matrix of deterministic keys, `[width, width]`. */
function keyGram(width: number, tokens = 3 * width): Matrix64 {
  const key = (t: number, c: number) =>
    Math.sin(t * (c + 1) * 1.3 + c * c) * (1 + (c % 5));
  const data = new Float64Array(width * width);
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        data[i * width + j]! += key(t, i) * key(t, j);
      }
    }
  }
  return { rows: width, columns: width, data };
}

/** (P G P^T)[row, row] */
function energy(basis: Matrix64, gram: Matrix64, row: number): number {
  const n = gram.rows;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      sum += basis.data[row * n + i]! * gram.data[i * n + j]! *
        basis.data[row * n + j]!;
    }
  }
  return sum;
}

const FOLDS: readonly FreqFold[] = [
  freqFoldOf(1, 8, { numKeyValueHeads: 3, headDim: 8 }),
  freqFoldOf(4, 8, { numKeyValueHeads: 2, headDim: 16 }),
  freqFoldOf(2, 16, { numKeyValueHeads: 2, headDim: 16 }),
  freqFoldOf(8, 2, { numKeyValueHeads: 1, headDim: 16 }),
];

function basisOf(gram: Matrix64, fold: FreqFold): Matrix64 {
  return rotationBasis(roRopeRotations(gram, fold), fold);
}

Deno.test("roRopeRotations() is orthogonal", () => {
  for (const fold of FOLDS) {
    const n = fold.numKeyValueHeads * fold.headDim;
    const { data } = basisOf(keyGram(n), fold);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let dot = 0;
        for (let k = 0; k < n; k++) dot += data[i * n + k]! * data[j * n + k]!;
        assert(Math.abs(dot - (i === j ? 1 : 0)) < 1e-13);
      }
    }
  }
});

Deno.test("roRopeRotations() turns real and imaginary parts alike", () => {
  for (const fold of FOLDS) {
    const n = fold.numKeyValueHeads * fold.headDim;
    const { data } = basisOf(keyGram(n), fold);
    const half = fold.headDim / 2;
    for (let row = 0; row < n; row += 2) {
      for (let column = 0; column < n; column++) {
        const isReal = column % fold.headDim < half;
        const value = data[row * n + column]!;
        if (isReal) assert(value === data[(row + 1) * n + column + half]!);
        else assert(value === 0);
      }
    }
  }
});

Deno.test("roRopeRotations() orders the components of a group by energy", () => {
  const fold = freqFoldOf(4, 8, { numKeyValueHeads: 2, headDim: 16 });
  const gram = keyGram(32);
  const basis = basisOf(gram, fold);
  const pair = (row: number) =>
    energy(basis, gram, row) + energy(basis, gram, row + 1);
  // Group 0, (c, head, i, a) with I = 2, A = 2: rows of its components in order.
  const rows = [0, 2, 8, 10, 16, 18, 24, 26];
  for (let p = 1; p < rows.length; p++) {
    assert(pair(rows[p - 1]!) >= pair(rows[p]!));
  }
});

Deno.test("roRopeRotations() refuses a Gram matrix of another size", () => {
  assertThrows(
    () => basisOf(keyGram(8, 3), FOLDS[0]!),
    ShapeError,
    "[24, 24]",
  );
});
