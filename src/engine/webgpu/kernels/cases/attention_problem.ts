// A ragged batch of attention as kernel cases need it, and its f64 answer.

import type { Arena } from "../../device/gpu.ts";
import { type CaseRows, caseRows } from "./case_rows.ts";
import type { AttentionViews } from "../attention_views.ts";
import type { Element } from "../kernel.ts";
import type { CaseRandom } from "./kernel_case.ts";

/** Sizes of a problem. */
export interface AttentionShape {
  /** Tokens of each sequence in the pass, and in the cache before it. */
  readonly sequences: readonly {
    readonly past: number;
    readonly rows: number;
  }[];
  readonly heads: number;
  readonly groups: number;
  readonly nope: number;
  readonly rotary: number;
  readonly value: number;
  readonly tileRows: number;
  /** Of keys, rotary keys and values. @default all "f32" */
  readonly elements?: readonly [key: Element, rotary: Element, value: Element];
  /** Standard deviation of the scores. @default 1 */
  readonly spread?: number;
  /** Rotary dims before the others in a query head. @default false */
  readonly rotaryFirst?: boolean;
  /** One key of all groups. @default false */
  readonly sharedKeys?: boolean;
  /** Queries, their scale in them, are f16 where they are multiplied. @default false */
  readonly halfQueries?: boolean;
  /** Elements before queries, keys and values, and from a row's end to the next. @default 0 */
  readonly gap?: number;
}

/** A query row of the pass. */
interface PassRow {
  readonly sequence: number;
  readonly position: number;
}

/** A problem on the device. */
export interface AttentionProblem {
  readonly views: AttentionViews;
  readonly values: CaseRows;
  readonly valueGroupStride: number;
  readonly rows: readonly PassRow[];
  readonly tiles: GPUBuffer;
  readonly tileCount: number;
  /** Scores of a row and head with keys 0..position. */
  scores(row: number, head: number): Float64Array;
  /** Value column c that head h sees at a position of a row's sequence. */
  valueAt(row: number, head: number, position: number, c: number): number;
}

/**
 * Makes a problem; cache rows that no query may see are NaN.
 *
 * @param arena Owns the buffers.
 * @param random Seeded numbers.
 * @param shape Sizes.
 * @returns The problem.
 */
export function attentionProblem(
  arena: Arena,
  random: CaseRandom,
  shape: AttentionShape,
): AttentionProblem {
  const { sequences, heads, groups, nope, rotary, value, gap = 0 } = shape;
  const [keyElement, rotaryElement, valueElement] = shape.elements ??
    ["f32", "f32", "f32"];
  const rows = passRows(sequences);
  const used = sequences.map(({ past, rows }) => past + rows);
  const capacity = Math.max(...used) + 3;
  const cacheRows = {
    rows: sequences.length * capacity,
    offset: gap,
    poisoned: (row: number) =>
      row % capacity >= used[Math.floor(row / capacity)]!,
  };
  const matrix = (width: number, element: Element) =>
    caseRows(arena, random, {
      ...cacheRows,
      width,
      stride: width + gap,
      element,
    });
  const scale = 1 / Math.sqrt(nope + rotary);
  const headWidth = nope + rotary;
  const query = caseRows(arena, random, {
    rows: rows.length,
    width: heads * headWidth,
    offset: gap,
    stride: heads * headWidth + gap,
    std: shape.spread ?? 1,
  });
  const key = matrix((shape.sharedKeys ? 1 : groups) * nope, keyElement);
  const keyGroupStride = shape.sharedKeys ? 0 : nope;
  const rotaryKey = rotary > 0 ? matrix(rotary, rotaryElement) : undefined;
  const values = matrix(groups * value, valueElement);
  const factor = Math.fround(scale * Math.LOG2E);
  const queryAt = (row: number, column: number) =>
    shape.halfQueries
      ? Math.f16round(Math.fround(query.at(row, column) * factor)) / Math.LOG2E
      : query.at(row, column) * scale;
  const queryNope = shape.rotaryFirst ? rotary : 0;
  const queryRotary = shape.rotaryFirst ? 0 : nope;
  const group = (head: number) => Math.floor(head * groups / heads);
  const tiles = tileTable(sequences, shape.tileRows);
  return {
    views: {
      query: query.view,
      queryNope,
      queryRotary,
      heads,
      groups,
      nope,
      rotary,
      scale,
      key: key.view,
      keyGroupStride,
      ...(rotaryKey === undefined ? {} : { rotaryKey: rotaryKey.view }),
      capacity,
    },
    values,
    valueGroupStride: value,
    rows,
    tiles: arena.upload("tiles", tiles),
    tileCount: tiles.length / 4,
    scores(row, head) {
      const { sequence, position } = rows[row]!;
      const start = head * headWidth;
      return Float64Array.from({ length: position + 1 }, (_, j) => {
        const cacheRow = sequence * capacity + j;
        let sum = 0;
        for (let c = 0; c < nope; c++) {
          sum += queryAt(row, start + queryNope + c) *
            key.at(cacheRow, group(head) * keyGroupStride + c);
        }
        for (let c = 0; c < rotary; c++) {
          sum += queryAt(row, start + queryRotary + c) *
            rotaryKey!.at(cacheRow, c);
        }
        return sum;
      });
    },
    valueAt: (row, head, position, c) =>
      values.at(
        rows[row]!.sequence * capacity + position,
        group(head) * value + c,
      ),
  };
}

/** Softmax of scores, and the natural logarithm of its denominator. */
export function softmax(
  scores: Float64Array,
): { readonly weights: Float64Array; readonly lse: number } {
  const top = Math.max(...scores);
  const sum = scores.reduce((total, score) => total + Math.exp(score - top), 0);
  const lse = top + Math.log(sum);
  return { weights: scores.map((score) => Math.exp(score - lse)), lse };
}

/** Tiles of at most tileRows rows: sequence, first row, rows, position of the first row. */
export function tileTable(
  sequences: AttentionShape["sequences"],
  tileRows: number,
): Uint32Array {
  const table: number[] = [];
  let row = 0;
  for (const [sequence, { past, rows }] of sequences.entries()) {
    for (let i = 0; i < rows; i += tileRows) {
      table.push(sequence, row + i, Math.min(tileRows, rows - i), past + i);
    }
    row += rows;
  }
  return Uint32Array.from(table);
}

/** Sequence and position of each row of a pass. */
function passRows(sequences: AttentionShape["sequences"]): PassRow[] {
  return sequences.flatMap(({ past, rows }, sequence) =>
    Array.from({ length: rows }, (_, i) => ({ sequence, position: past + i }))
  );
}
