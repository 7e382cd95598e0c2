// One query head of the reference attention, and its rotation: the part that all
// attention kinds share.
//
// Letters: P tokens in the cache before the call, T new tokens, S = P + T.

import type { Rotary } from "./decoder.ts";
import type { AttentionSums } from "./moments.ts";
import { dot } from "./reference_arithmetic.ts";
import { rotaryTable, rotateByTable } from "./rope.ts";

/** Vectors of `width` elements, vector i at start + i·stride. */
export interface Vectors {
  readonly data: Float64Array;
  readonly start: number;
  readonly stride: number;
  readonly width: number;
}

/**
 * Causal softmax attention of one query head.
 *
 * @param parts The score is the sum of their dot products; queries [T], keys [S].
 * @param values [S].
 * @param output [T], written.
 * @param span P, T and the scale of the scores.
 * @param sums Where it is there, the head's attention weights are added to it: received [S], massByDistance [S].
 */
export function attendHead(
  parts: readonly { readonly query: Vectors; readonly key: Vectors }[],
  values: Vectors,
  output: Vectors,
  span: {
    readonly past: number;
    readonly rows: number;
    readonly softmaxScale: number;
  },
  sums?: AttentionSums,
): void {
  const { past, rows, softmaxScale } = span;
  const weights = new Float64Array(past + rows);
  for (let t = 0; t < rows; t++) {
    const visible = past + t + 1;
    let largest = -Infinity;
    for (let s = 0; s < visible; s++) {
      let score = 0;
      for (const { query, key } of parts) {
        score += dot(
          query.data,
          query.start + t * query.stride,
          key.data,
          key.start + s * key.stride,
          query.width,
        );
      }
      weights[s] = score * softmaxScale;
      largest = Math.max(largest, weights[s]!);
    }
    let sum = 0;
    for (let s = 0; s < visible; s++) {
      weights[s] = Math.exp(weights[s]! - largest);
      sum += weights[s]!;
    }
    const to = output.start + t * output.stride;
    output.data.fill(0, to, to + output.width);
    for (let s = 0; s < visible; s++) {
      const weight = weights[s]! / sum;
      const from = values.start + s * values.stride;
      for (let i = 0; i < values.width; i++) {
        output.data[to + i]! += weight * values.data[from + i]!;
      }
      if (sums !== undefined) {
        sums.received[s]! += weight;
        sums.massByDistance[visible - 1 - s]! += weight;
      }
    }
  }
}

/**
 * Rotates one vector of 2·pairs elements of each head in place.
 *
 * @param x Rows of heads, [T, heads·stride]; row t stands at position past + t.
 * @param rows T.
 * @param place Width of a head, and where in it the vector starts.
 * @param rotary Layout and frequencies.
 * @param past P.
 */
export function rotateHeads(
  x: Float64Array,
  rows: number,
  place: { readonly stride: number; readonly start: number },
  rotary: Rotary,
  past: number,
): void {
  const table = rotaryTable(rotary.frequencies, past, rows);
  const width = x.length / rows;
  for (let t = 0; t < rows; t++) {
    for (let head = 0; head < width; head += place.stride) {
      rotateByTable(
        x,
        t * width + head + place.start,
        rotary.layout,
        table,
        t,
      );
    }
  }
}
