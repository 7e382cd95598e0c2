// Seeded numbers made where they are used: weights and caches of synthetic
// models, that nobody uploads.

import type { Seeded } from "../../../base/seeded_tensor.ts";
import type { Arena, Dispatch } from "../device/gpu.ts";
import {
  dispatchOf,
  ELEMENT_BYTES,
  linearGrid,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("fill.wgsl", import.meta.url);
const THREADS = 256;

/** What fill() takes. */
export interface FillArgs {
  /** [rows, columns]; where rows are aligned, up to 3 columns of padding become 0. */
  readonly out: View;
  readonly rows: number;
  readonly columns: number;
  /** Number [i, j] is number first + i·columns + j of the seed. */
  readonly seeded: Seeded;
}

/**
 * out[i, j] = seededNumbers()[i·columns + j], rounded to out's type.
 *
 * @param arena Owns the parameters.
 * @param args Output, sizes, seed.
 * @returns The dispatch; none where there is nothing to fill.
 */
export function fill(arena: Arena, args: FillArgs): Dispatch[] {
  const { out, rows, columns, seeded } = args;
  if (rows * columns === 0) return [];
  const vector = isAligned(out, 4);
  const width = vector ? 4 : 1;
  const rowVectors = Math.ceil(columns / width);
  return [dispatchOf(arena, {
    label: `fill ${rows}x${columns}`,
    source: SOURCE,
    constants: { THREADS, WIDTH: width, VECTOR: vector, OUT: out.element },
    bindings: { output: rowBinding(out, vector, "read_write") },
    params: {
      rows: { u32: rows },
      columns: { u32: columns },
      row_vectors: { u32: rowVectors },
      offset: { u32: out.offset },
      stride: { u32: out.stride },
      first: { u32: seeded.first >>> 0 },
      seed: { u32: seeded.seed },
      unit: { f32: seeded.scale * 2 ** -23 },
    },
    grid: linearGrid(arena.gpu, Math.ceil(rows * rowVectors / THREADS)),
    bytes: rows * columns * ELEMENT_BYTES[out.element],
    flops: 0,
  })];
}
