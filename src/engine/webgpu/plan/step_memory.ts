// What decoding takes beside weights and cache, and how much the device lets it
// take: by recording a step that is only counted.

import { CountingArena } from "../device/counting_arena.ts";
import type { Arena, Gpu } from "../device/gpu.ts";
import { ELEMENT_BYTES, padded } from "../kernels/kernel.ts";
import type { GpuModel } from "./gpu_model.ts";
import { allocateCache } from "./kv_cache.ts";
import { bindingBytes } from "./scratch.ts";
import { allocateState, type DecodeState, recordStep } from "./step_plan.ts";

/** Steps after which token ids are read back: many, since reading waits for the device. */
export const STEPS_PER_READ = 64;

/** Buffers of a batch that is decoded, beside its cache. */
export interface DecodeBuffers {
  readonly state: DecodeState;
  /** Tokens fed, u32 [STEPS_PER_READ, B]. */
  readonly fed: GPUBuffer;
}

/** Allocates them, zeroed. */
export function allocateDecodeBuffers(
  arena: Arena,
  model: GpuModel,
  batch: number,
): DecodeBuffers {
  return {
    state: allocateState(arena, model, batch),
    fed: arena.buffer("tokens fed", STEPS_PER_READ * batch * 4),
  };
}

/**
 * Bytes that decoding takes beside weights and cache, angles of rotation included.
 *
 * @param gpu The device.
 * @param model The model.
 * @param batch Sequences.
 * @param capacity Tokens that each has room for.
 */
export function stepScratchBytes(
  { facts, features }: Gpu,
  model: GpuModel,
  batch: number,
  capacity: number,
): number {
  // Whether the device allows so much is not asked here.
  const limits = {
    ...facts.limits,
    maxBufferSize: Number.MAX_SAFE_INTEGER,
    maxStorageBufferBindingSize: Number.MAX_SAFE_INTEGER,
    maxComputeWorkgroupsPerDimension: Number.MAX_SAFE_INTEGER,
  };
  const adapter = { facts: { ...facts, limits }, features };
  const arena = new CountingArena(adapter);
  const tables = new Map<string, ReturnType<GpuModel["rotaryTable"]>>();
  const counted: GpuModel = {
    ...model,
    arena,
    rotaryTable({ frequencies }, positions) {
      const key = frequencies.join();
      const pairs = frequencies.length;
      const bytes = 4 * Math.max(1, positions * pairs);
      const table = tables.get(key) ?? {
        cos: arena.buffer("rotary cos", bytes),
        sin: arena.buffer("rotary sin", bytes),
        pairs,
      };
      tables.set(key, table);
      return table;
    },
  };
  const { state } = allocateDecodeBuffers(arena, counted, batch);
  const elsewhere = new CountingArena(adapter);
  const cache = allocateCache(elsewhere, counted, batch, capacity);
  recordStep(arena, counted, cache, state);
  return arena.bytes;
}

/**
 * Sequences that bindings of the device hold at most: of a layer's part of the
 * cache, and of logits.
 *
 * @param gpu The device.
 * @param model The model.
 * @param capacity Tokens that each has room for.
 */
export function mostSequences(
  gpu: Gpu,
  { layers, cacheElement, vocabSize }: GpuModel,
  capacity: number,
): number {
  const rowBytes = [
    4 * padded(vocabSize),
    ...layers.flatMap(({ form: { firstWidth, secondWidth } }) =>
      [firstWidth, secondWidth].map((width) =>
        capacity * width * ELEMENT_BYTES[cacheElement]
      )
    ),
  ];
  return Math.floor(bindingBytes({ gpu }) / Math.max(...rowBytes));
}
