// How sequences of any lengths lie in the rows of one pass.

import type { Arena } from "../device/gpu.ts";

/** Query rows of a tile of prefill attention, the most that a workgroup takes: others cut it further. */
const TILE_ROWS = 128;

/** Tokens of one sequence in a pass. */
export interface Span {
  /** Tokens before these, already cached. */
  readonly past: number;
  /** Tokens in the pass. */
  readonly length: number;
}

/** Rows of a pass, sequence after sequence without gaps. */
export interface RowLayout {
  readonly spans: readonly Span[];
  /** R, the sum of their lengths. */
  readonly rows: number;
  /** The most tokens, past ones included, that one sequence reaches. */
  readonly longest: number;
  /** Sequence of each row, from 0 in this pass, [R]. */
  readonly rowSequence: Uint32Array;
  /** Position of each row in its sequence, [R]. */
  readonly rowPosition: Uint32Array;
  /** Query tiles: sequence, first row, rows, position of the first row; [tiles, 4]. Ordered by the keys they see, or by row. */
  readonly tiles: Uint32Array;
  readonly tileRows: number;
  /** Keys that all rows see together. */
  readonly scores: number;
}

/** A layout on the device. */
export interface GpuRowLayout
  extends Omit<RowLayout, "rowSequence" | "rowPosition" | "tiles"> {
  readonly rowSequence: GPUBuffer;
  readonly rowPosition: GPUBuffer;
  readonly tiles: GPUBuffer;
  readonly tileCount: number;
}

/**
 * Lays sequences out.
 *
 * @param spans Their tokens in this pass, none empty.
 * @param tileRows Most rows of a query tile.
 * @param order Of query tiles: "keys" has those that see most keys last, where attention begins.
 * @returns Tables of all rows and tiles.
 */
export function layOut(
  spans: readonly Span[],
  tileRows: number = TILE_ROWS,
  order: "keys" | "rows" = "keys",
): RowLayout {
  const rows = spans.reduce((sum, { length }) => sum + length, 0);
  const rowSequence = new Uint32Array(rows);
  const rowPosition = new Uint32Array(rows);
  const tiles: number[][] = [];
  let row = 0;
  for (const [sequence, { past, length }] of spans.entries()) {
    for (let i = 0; i < length; i++) {
      rowSequence[row + i] = sequence;
      rowPosition[row + i] = past + i;
    }
    for (let i = 0; i < length; i += tileRows) {
      tiles.push([
        sequence,
        row + i,
        Math.min(tileRows, length - i),
        past + i,
      ]);
    }
    row += length;
  }
  if (order === "keys") tiles.sort((a, b) => keysOf(a) - keysOf(b));
  return {
    spans,
    rows,
    longest: Math.max(...spans.map(({ past, length }) => past + length)),
    rowSequence,
    rowPosition,
    tiles: Uint32Array.from(tiles.flat()),
    tileRows,
    scores: spans.reduce(
      (sum, { past, length }) => sum + length * (past + (length + 1) / 2),
      0,
    ),
  };
}

function keysOf([, , rows = 0, position = 0]: readonly number[]): number {
  return position + rows;
}

/** Uploads a layout. */
export function uploadLayout(arena: Arena, layout: RowLayout): GpuRowLayout {
  return {
    ...layout,
    rowSequence: arena.upload("row sequences", layout.rowSequence),
    rowPosition: arena.upload("row positions", layout.rowPosition),
    tiles: arena.upload("query tiles", layout.tiles),
    tileCount: layout.tiles.length / 4,
  };
}

/** Sequences that go through the layers together: numbers first to first + count - 1. */
export interface Group {
  readonly first: number;
  readonly spans: readonly Span[];
}

/**
 * Cuts a batch into passes: short sequences together, long ones in chunks.
 *
 * @param lengths Tokens of each sequence.
 * @param maxRows Most rows of a pass.
 */
export function groupRows(
  lengths: readonly number[],
  maxRows: number,
): Group[] {
  const groups: Group[] = [];
  let spans: Span[] = [];
  let rows = 0;
  let first = 0;
  const flush = (next: number) => {
    if (spans.length > 0) groups.push({ first, spans });
    spans = [];
    rows = 0;
    first = next;
  };
  for (const [sequence, length] of lengths.entries()) {
    if (rows + length > maxRows) flush(sequence);
    if (length <= maxRows) {
      spans.push({ past: 0, length });
      rows += length;
      continue;
    }
    for (let past = 0; past < length; past += maxRows) {
      const span = { past, length: Math.min(maxRows, length - past) };
      groups.push({ first: sequence, spans: [span] });
    }
    first = sequence + 1;
  }
  flush(lengths.length);
  return groups;
}

/** All tokens, sequence after sequence. */
export function concatenated(sequences: readonly Int32Array[]): Uint32Array {
  const rows = sequences.reduce((sum, { length }) => sum + length, 0);
  const all = new Uint32Array(rows);
  let at = 0;
  for (const sequence of sequences) {
    all.set(sequence, at);
    at += sequence.length;
  }
  return all;
}
