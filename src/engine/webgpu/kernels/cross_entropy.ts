// Cross-entropy over a vocabulary whose logits come in chunks of columns, so that
// [rows, vocabulary] never exists.

import type { Arena, Dispatch } from "../device/gpu.ts";
import {
  dispatchOf,
  ELEMENT_BYTES,
  linearGrid,
  readWgsl,
  type View,
} from "./kernel.ts";
import { reductionThreads } from "./tuning.ts";

const PARTIAL = readWgsl("./vocabulary_partial.wgsl", import.meta.url);
const FINAL = readWgsl("./cross_entropy.wgsl", import.meta.url);

/** Stands for "no target" among targets: its loss is 0. */
export const NO_TARGET = 0xffffffff;

/** What vocabularyPartial() reads and updates. */
export interface VocabularyPartialArgs {
  /** [rows, columns]: logits of the chunk. */
  readonly logits: View;
  readonly rows: number;
  readonly columns: number;
  /** Token id of the chunk's column 0. */
  readonly firstColumn: number;
  /** u32 [rows]: token ids of the whole vocabulary, or NO_TARGET. */
  readonly targets: GPUBuffer;
  /** f32 [rows, 3]: maximum, sum of exp(logit - maximum), the target's logit. */
  readonly state: GPUBuffer;
  /** Whether this is the first chunk: the state's contents are then not read. */
  readonly first: boolean;
  /** Threads a row; a power of two. @default 256, but 16 on software adapters, where barriers are slow */
  readonly threads?: number;
}

/**
 * Folds a chunk of logits into the running softmax of each row.
 *
 * @param arena Owns the parameters.
 * @param args Logits, targets and state.
 * @returns One dispatch.
 * @throws {RangeError} If there are no rows or no columns.
 */
export function vocabularyPartial(
  arena: Arena,
  args: VocabularyPartialArgs,
): Dispatch[] {
  const { logits, rows, columns, firstColumn } = args;
  if (!(rows > 0 && columns > 0)) {
    throw new RangeError(
      `Cannot fold in logits as rows and columns must be positive: current values are ${rows} and ${columns}`,
    );
  }
  const { element, offset, stride } = logits;
  const vector = offset % 4 === 0 && stride % 4 === 0;
  const threads = args.threads ?? reductionThreads(arena.gpu);
  return [dispatchOf(arena, {
    label: `vocabularyPartial [${rows}, ${columns}]`,
    source: PARTIAL,
    constants: { VECTOR: vector, THREADS: threads },
    bindings: {
      logits: {
        buffer: logits.buffer,
        type: vector ? `array<vec4<${element}>>` : `array<${element}>`,
        access: "read",
      },
      targets: { buffer: args.targets, type: "array<u32>", access: "read" },
      state: { buffer: args.state, type: "array<f32>", access: "read_write" },
    },
    params: {
      offset: { u32: offset },
      stride: { u32: stride },
      rows: { u32: rows },
      columns: { u32: columns },
      first_column: { u32: firstColumn },
      first: { u32: args.first ? 1 : 0 },
    },
    grid: linearGrid(arena.gpu, rows),
    bytes: rows * (columns * ELEMENT_BYTES[element] + 4 + 24),
    flops: rows * columns * 4,
  })];
}

/**
 * Turns the state of all chunks into losses.
 *
 * @param arena Owns the parameters.
 * @param args.state f32 [rows, 3], after the last vocabularyPartial().
 * @param args.targets u32 [rows], the same as before.
 * @param args.out f32 [rows]: nats, 0 where there is no target.
 * @returns One dispatch.
 */
export function crossEntropy(
  arena: Arena,
  { state, rows, targets, out }: {
    readonly state: GPUBuffer;
    readonly rows: number;
    readonly targets: GPUBuffer;
    readonly out: GPUBuffer;
  },
): Dispatch[] {
  return [dispatchOf(arena, {
    label: `crossEntropy [${rows}]`,
    source: FINAL,
    constants: {},
    bindings: {
      state: { buffer: state, type: "array<f32>", access: "read" },
      targets: { buffer: targets, type: "array<u32>", access: "read" },
      losses: { buffer: out, type: "array<f32>", access: "read_write" },
    },
    params: { rows: { u32: rows } },
    grid: linearGrid(arena.gpu, Math.ceil(rows / 64)),
    bytes: rows * 20,
    flops: rows * 4,
  })];
}
