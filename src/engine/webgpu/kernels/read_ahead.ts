// Weights that are read before their product: by workgroups of a kernel that waits for
// latencies and leaves the memory idle, so that the product finds them in the cache.

import type { Arena, Gpu } from "../device/gpu.ts";
import type { Binding, GpuMatrix, Param } from "./kernel.ts";
import type { Constants } from "./template.ts";
import { tuned } from "./tuned.ts";
import { mergeKey, type MergeSize } from "./tuning_keys.ts";

/** What is read. */
export interface ReadAhead {
  /** Of the product, in one buffer. */
  readonly weight: GpuMatrix;
  /** Of its first rows; a multiple of 16. */
  readonly bytes: number;
  /** Where nothing is ever looked for: what has no effect would not be read. At least 4 bytes. */
  readonly sink: GPUBuffer;
}

/** As tuning tables have it. */
export interface ReadAheadShape {
  readonly bytes: number;
}

/** Loads of a thread that are in flight at once, and how often. */
const LOADS = 8;
const ROUNDS = 2;

const VECTOR_BYTES = 16;

/**
 * Bytes that a merge of decode attention reads ahead of the output projection, where
 * that was measured to be faster; else 0.
 *
 * @param gpu The device.
 * @param size The merge.
 * @param weight Of the output projection.
 */
export function mergeReadsAhead(
  gpu: Gpu,
  size: MergeSize,
  weight: GpuMatrix,
): number {
  const found = tuned<ReadAheadShape>(gpu, "read_ahead", mergeKey(size));
  if (found === undefined || weight.parts.length !== 1) return 0;
  const all = weight.parts[0]!.buffer.size;
  return Math.floor(Math.min(found.bytes, all) / VECTOR_BYTES) * VECTOR_BYTES;
}

/**
 * Amounts worth timing: nothing, and shares of the weight.
 *
 * @param bytes Of the weight.
 */
export function readAheadCandidates(bytes: number): ReadAheadShape[] {
  return [0, 0.25, 0.5, 0.75, 1].map((share) => ({
    bytes: Math.floor(share * bytes / VECTOR_BYTES) * VECTOR_BYTES,
  }));
}

/** Additions to a kernel whose workgroups past `first` along z read ahead. */
export interface ReaderParts {
  /** Workgroups along z. */
  readonly readers: number;
  readonly constants: Constants;
  readonly bindings: Readonly<Record<string, Binding>>;
  readonly params: Readonly<Record<string, Param>>;
}

/**
 * What a kernel needs to read ahead; see read_ahead.wgsl.
 *
 * @param ahead What is read; undefined: nothing.
 * @param threads Of a workgroup.
 * @param plane Workgroups along x and y.
 */
export function readerParts(
  ahead: ReadAhead | undefined,
  threads: number,
  plane: readonly [x: number, y: number],
): ReaderParts {
  const vectors = (ahead?.bytes ?? 0) / VECTOR_BYTES;
  if (ahead === undefined || vectors === 0) {
    return {
      readers: 0,
      constants: { READS_AHEAD: false },
      bindings: {},
      params: {},
    };
  }
  const across = plane[0] * plane[1];
  const readers = Math.ceil(vectors / (threads * LOADS * ROUNDS * across));
  return {
    readers,
    constants: { READS_AHEAD: true, LOADS },
    bindings: {
      ahead: {
        buffer: ahead.weight.parts[0]!.buffer,
        type: "array<vec4<u32>>",
        access: "read",
      },
      sink: { buffer: ahead.sink, type: "array<u32>", access: "read_write" },
    },
    params: {
      ahead_vectors: { u32: vectors },
      ahead_step: { u32: readers * across * threads },
    },
  };
}

/** A sink that all kernels of a plan may have. */
export function readAheadSink(arena: Arena): GPUBuffer {
  return arena.buffer("read-ahead sink", 4);
}
