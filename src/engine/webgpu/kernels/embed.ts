// Rows of a table by token: the embedding, and gathering rows of activations.

import type { Arena, Dispatch } from "../device/gpu.ts";
import {
  dispatchOf,
  ELEMENT_BYTES,
  type GpuMatrix,
  linearGrid,
  readWgsl,
  type View,
} from "./kernel.ts";

const SOURCE = readWgsl("embed.wgsl", import.meta.url);
const THREADS = 128;

/** What embed() takes. */
export interface EmbedArgs {
  /** [V, D]. */
  readonly table: GpuMatrix;
  /** u32[rows]; a token outside the table leaves its row of `out` unwritten. */
  readonly tokens: GPUBuffer;
  /** [rows, D]. */
  readonly out: View;
  readonly rows: number;
}

/**
 * out[i] = table[tokens[i]], one dispatch for each part of the table.
 *
 * @param arena Owns the parameters.
 * @param args Table, tokens, output.
 * @returns The dispatches, in any order.
 */
export function embed(arena: Arena, args: EmbedArgs): Dispatch[] {
  const { table, tokens, out, rows } = args;
  const packed = table.element === "f16";
  return table.parts.map((part) =>
    dispatchOf(arena, {
      label: `embed ${rows}x${table.columns}`,
      source: SOURCE,
      constants: { THREADS, PACKED: packed, OUT: out.element },
      bindings: {
        table: {
          buffer: part.buffer,
          type: packed ? "array<u32>" : "array<f32>",
          access: "read",
        },
        tokens: { buffer: tokens, type: "array<u32>", access: "read" },
        output: {
          buffer: out.buffer,
          type: `array<${out.element}>`,
          access: "read_write",
        },
      },
      params: {
        rows: { u32: rows },
        columns: { u32: table.columns },
        tableStride: { u32: table.stride },
        firstRow: { u32: part.firstRow },
        partRows: { u32: part.rows },
        outOffset: { u32: out.offset },
        outStride: { u32: out.stride },
      },
      grid: linearGrid(arena.gpu, rows),
      bytes: rows * table.columns *
        (ELEMENT_BYTES[table.element] + ELEMENT_BYTES[out.element]),
      flops: 0,
    })
  );
}
