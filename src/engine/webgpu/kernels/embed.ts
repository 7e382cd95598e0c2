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
import type { NextNorm } from "./gemv_subgroup.ts";
import { rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("embed.wgsl", import.meta.url);

/** What embed() takes. */
export interface EmbedArgs {
  /** [V, D]. */
  readonly table: GpuMatrix;
  /** u32[rows]; a token outside the table leaves its row of `out` unwritten. */
  readonly tokens: GPUBuffer;
  /** [rows, D]. */
  readonly out: View;
  readonly rows: number;
  /** What a norm after it reads, `squares` in one part; needs `out` in f32. */
  readonly next?: NextNorm;
}

/**
 * out[i] = table[tokens[i]], one dispatch for each part of the table.
 *
 * @param arena Owns the parameters.
 * @param args Table, tokens, output.
 * @returns The dispatches, in any order.
 */
export function embed(arena: Arena, args: EmbedArgs): Dispatch[] {
  const { table, tokens, out, rows, next } = args;
  // A barrier costs a software adapter a switch for each thread.
  const threads = next !== undefined && arena.gpu.facts.software ? 16 : 128;
  const packed = table.element === "f16";
  return table.parts.map((part) =>
    dispatchOf(arena, {
      label: `embed ${rows}x${table.columns}`,
      source: SOURCE,
      constants: {
        THREADS: threads,
        HALVINGS: Math.log2(threads),
        PACKED: packed,
        OUT: out.element,
        NEXT: next !== undefined,
        Y: next?.y.element ?? "f32",
      },
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
        ...(next === undefined ? {} : {
          normWeight: {
            buffer: next.weight,
            type: "array<f32>",
            access: "read",
          },
          y: rowBinding(next.y, false, "read_write"),
          ySquares: {
            buffer: next.squares.buffer,
            type: "array<f32>",
            access: "read_write",
          },
        }),
      },
      params: {
        rows: { u32: rows },
        columns: { u32: table.columns },
        tableStride: { u32: table.stride },
        firstRow: { u32: part.firstRow },
        partRows: { u32: part.rows },
        outOffset: { u32: out.offset },
        outStride: { u32: out.stride },
        ...(next === undefined ? {} : {
          yOffset: { u32: next.y.offset },
          yStride: { u32: next.y.stride },
          ySquareStride: { u32: next.squares.stride },
        }),
      },
      grid: linearGrid(arena.gpu, rows),
      bytes: rows * table.columns *
        (ELEMENT_BYTES[table.element] + ELEMENT_BYTES[out.element] +
          (next === undefined ? 0 : ELEMENT_BYTES[next.y.element])),
      flops: 0,
    })
  );
}
