// KL divergence and top-1 agreement of two models' predictions over a vocabulary
// whose logits come in chunks of columns, so that [rows, vocabulary] never exists.

import type { Arena, Dispatch } from "../device/gpu.ts";
import {
  dispatchOf,
  ELEMENT_BYTES,
  linearGrid,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";
import { reductionThreads } from "./tuning.ts";

const PARTIAL = readWgsl("./divergence_partial.wgsl", import.meta.url);
const FINAL = readWgsl("./divergence.wgsl", import.meta.url);

/** Buffers between divergencePartial() and divergence(). */
export interface DivergenceState {
  /** f32 [rows, 5]: the original's maximum, sum of exp(a - maximum), sum of exp(a - maximum) (a - b); the other's maximum and sum. */
  readonly sums: GPUBuffer;
  /** u32 [rows, 2]: the most likely token of each, the first of equals. */
  readonly tops: GPUBuffer;
}

/** What divergencePartial() reads and updates. */
export interface DivergencePartialArgs {
  /** [rows, columns] each: logits a of the chunk, the original's. */
  readonly original: View;
  /** The other model's logits b. */
  readonly other: View;
  readonly rows: number;
  readonly columns: number;
  /** Token id of the chunk's column 0. */
  readonly firstColumn: number;
  readonly state: DivergenceState;
  /** Whether this is the first chunk: the state's contents are then not read. */
  readonly first: boolean;
  /** Threads a row; a power of two. @default 256, but 16 on software adapters, where barriers are slow */
  readonly threads?: number;
}

/**
 * Makes the state of a vocabulary's chunks.
 *
 * @param arena Owns its buffers.
 * @param rows How many predictions.
 */
export function divergenceState(arena: Arena, rows: number): DivergenceState {
  return {
    sums: arena.buffer("divergence sums", rows * 5 * 4),
    tops: arena.buffer("divergence tops", rows * 2 * 4),
  };
}

/**
 * Folds a chunk of both models' logits into the running sums of each row.
 *
 * @param arena Owns the parameters.
 * @param args Logits and state.
 * @returns One dispatch.
 * @throws {RangeError} If there are no rows or no columns.
 */
export function divergencePartial(
  arena: Arena,
  args: DivergencePartialArgs,
): Dispatch[] {
  const { original, other, rows, columns, firstColumn, state } = args;
  if (!(rows > 0 && columns > 0)) {
    throw new RangeError(
      `Cannot compare logits as rows and columns must be positive: current values are ${rows} and ${columns}`,
    );
  }
  const vector = isAligned(original, 4) && isAligned(other, 4);
  const threads = args.threads ?? reductionThreads(arena.gpu);
  const bytes = ELEMENT_BYTES[original.element] + ELEMENT_BYTES[other.element];
  return [dispatchOf(arena, {
    label: `divergencePartial [${rows}, ${columns}]`,
    source: PARTIAL,
    constants: { VECTOR: vector, THREADS: threads },
    bindings: {
      logits_0: rowBinding(original, vector, "read"),
      logits_1: rowBinding(other, vector, "read"),
      sums: { buffer: state.sums, type: "array<f32>", access: "read_write" },
      tops: { buffer: state.tops, type: "array<u32>", access: "read_write" },
    },
    params: {
      offset0: { u32: original.offset },
      stride0: { u32: original.stride },
      offset1: { u32: other.offset },
      stride1: { u32: other.stride },
      rows: { u32: rows },
      columns: { u32: columns },
      first_column: { u32: firstColumn },
      first: { u32: args.first ? 1 : 0 },
    },
    grid: linearGrid(arena.gpu, rows),
    bytes: rows * (columns * bytes + 2 * 28),
    flops: rows * columns * 8,
  })];
}

/**
 * Turns the state of all chunks into divergences.
 *
 * @param arena Owns the parameters.
 * @param args.state After the last divergencePartial().
 * @param args.out f32 [rows, 2]: KL(original || other) in nats, and 1 where the most likely tokens agree, 0 where not.
 * @returns One dispatch.
 */
export function divergence(
  arena: Arena,
  { state, rows, out }: {
    readonly state: DivergenceState;
    readonly rows: number;
    readonly out: GPUBuffer;
  },
): Dispatch[] {
  return [dispatchOf(arena, {
    label: `divergence [${rows}]`,
    source: FINAL,
    constants: {},
    bindings: {
      sums: { buffer: state.sums, type: "array<f32>", access: "read" },
      tops: { buffer: state.tops, type: "array<u32>", access: "read" },
      results: { buffer: out, type: "array<f32>", access: "read_write" },
    },
    params: { rows: { u32: rows } },
    grid: linearGrid(arena.gpu, Math.ceil(rows / 64)),
    bytes: rows * 36,
    flops: rows * 8,
  })];
}
