// The greedy token of each row, in two stages: one workgroup alone cannot draw
// the bandwidth that a vocabulary of logits takes.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { dispatchOf, ELEMENT_BYTES, readWgsl, type View } from "./kernel.ts";
import { reductionThreads } from "./tuning.ts";

const PARTIAL = readWgsl("./argmax_partial.wgsl", import.meta.url);
const FINAL = readWgsl("./argmax.wgsl", import.meta.url);
const JOIN = readWgsl("./argmax_join.wgsl", import.meta.url);

/** Threads that join the chunks of a row. */
const FINAL_THREADS = 64;

/** The token of a row with a NaN among its logits. */
export const NO_TOKEN = 0xffffffff;

/** Columns that a workgroup takes; a multiple of 4. */
const CHUNK = 4096;

/** What argmax() reads and writes. */
export interface ArgmaxArgs {
  /** [rows, columns]. */
  readonly logits: View;
  readonly rows: number;
  readonly columns: number;
  /** u32 [rows]: the column of the greatest logit, the first of equals; NO_TOKEN where one is NaN. */
  readonly tokens: GPUBuffer;
  /** u32 [rows]: each goes up by 1. */
  readonly lengths?: GPUBuffer;
  /** At least argmaxScratchBytes(); made in the arena where missing. */
  readonly scratch?: GPUBuffer;
  /** Columns that a workgroup takes; a multiple of 4. @default 4096 */
  readonly chunk?: number;
  /** Threads of a workgroup of the first stage; a power of two. @default 256, but 16 on software adapters, where barriers are slow */
  readonly threads?: number;
}

/** Bytes that argmax() needs between its stages. */
function argmaxScratchBytes(
  rows: number,
  columns: number,
  chunk = CHUNK,
): number {
  return rows * Math.ceil(columns / chunk) * 8;
}

/**
 * Finds the greatest logit of each row.
 *
 * @param arena Owns the parameters.
 * @param args Logits and where to write.
 * @returns Two dispatches.
 * @throws {RangeError} If there are no rows or no columns.
 */
export function argmax(arena: Arena, args: ArgmaxArgs): Dispatch[] {
  const { logits, rows, columns, tokens, lengths } = args;
  const { chunk = CHUNK } = args;
  const threads = args.threads ?? reductionThreads(arena.gpu);
  if (!(rows > 0 && columns > 0)) {
    throw new RangeError(
      `Cannot choose tokens as rows and columns must be positive: current values are ${rows} and ${columns}`,
    );
  }
  const { element, offset, stride } = logits;
  const vector = offset % 4 === 0 && stride % 4 === 0 && chunk % 4 === 0;
  const chunks = Math.ceil(columns / chunk);
  const scratch = args.scratch ??
    arena.buffer("argmax scratch", argmaxScratchBytes(rows, columns, chunk));
  // Bits of f32 are compared, so they are loaded as they are.
  const loaded = element === "f32" ? "u32" : element;
  const partial = dispatchOf(arena, {
    label: `argmax [${rows}, ${columns}], chunks of ${chunk}`,
    source: JOIN + PARTIAL,
    constants: { VECTOR: vector, ELEMENT: element, THREADS: threads },
    bindings: {
      logits: {
        buffer: logits.buffer,
        type: vector ? `array<vec4<${loaded}>>` : `array<${loaded}>`,
        access: "read",
      },
      scratch: { buffer: scratch, type: "array<u32>", access: "read_write" },
    },
    params: {
      offset: { u32: offset },
      stride: { u32: stride },
      columns: { u32: columns },
      chunk: { u32: chunk },
      chunks: { u32: chunks },
    },
    grid: [chunks, rows, 1],
    bytes: rows * columns * ELEMENT_BYTES[element],
    flops: 0,
  });
  const final = dispatchOf(arena, {
    label: `argmax [${rows}, ${chunks} chunks]`,
    source: JOIN + FINAL,
    constants: { THREADS: FINAL_THREADS, LENGTHS: lengths !== undefined },
    bindings: {
      scratch: { buffer: scratch, type: "array<u32>", access: "read" },
      tokens: { buffer: tokens, type: "array<u32>", access: "read_write" },
      ...(lengths === undefined ? {} : {
        lengths: { buffer: lengths, type: "array<u32>", access: "read_write" },
      }),
    },
    params: { chunks: { u32: chunks } },
    grid: [rows, 1, 1],
    bytes: rows * (chunks * 8 + 4),
    flops: 0,
  });
  return [partial, final];
}
