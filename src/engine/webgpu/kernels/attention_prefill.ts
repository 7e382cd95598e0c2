// Causal attention of many query rows to the cache.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import {
  type AttentionViews,
  isVector,
  keyLoads,
  LOADS_SOURCE,
  viewBinding,
} from "./attention_views.ts";
import {
  type MatrixPrefillShape,
  matrixPrefillUse,
  prefillBytes,
} from "./attention_prefill_matrix.ts";
import { dispatchOf, readWgsl, type View } from "./kernel.ts";
import { fillTemplate } from "./template.ts";

const SOURCE = readWgsl("attention_prefill.wgsl", import.meta.url);

/** How a workgroup works. */
export interface PrefillTile {
  /** Query rows of a workgroup. */
  readonly rows: number;
  /** Rows of a thread; divides rows. */
  readonly rowsPerThread: number;
  /** Threads along keys, at least rowsPerThread: a key tile is four times this. */
  readonly across: number;
  /** Columns of queries and keys in workgroup memory at a time, a multiple of 4. */
  readonly chunk: number;
}

/** What attentionPrefill() takes. */
export interface AttentionPrefillArgs extends AttentionViews {
  /** v */
  readonly value: number;
  readonly values: View;
  /** Columns from the value of one group to the next. */
  readonly valueGroupStride: number;
  /** Rows from one sequence to the next in values. @default capacity */
  readonly valueCapacity?: number;
  /** u32 [tileCount, 4]: sequence, first row in the pass, rows, position of the first row. */
  readonly tiles: GPUBuffer;
  readonly tileCount: number;
  /** Most rows of a tile. */
  readonly tileRows: number;
  /** f32 [rows, H·v] */
  readonly out: View;
  /** f32 [rows, H]: natural logarithm of the softmax denominator. */
  readonly lse?: GPUBuffer;
  /** For the work's size: sum over rows of the keys each sees. */
  readonly scores?: number;
  /** @default prefillTile() */
  readonly tile?: PrefillTile;
  /** By subgroup matrices, in this shape; queries and weights are then rounded to f16. */
  readonly matrix?: MatrixPrefillShape;
}

/**
 * The tile that suits a device.
 *
 * @param gpu The device.
 * @param width Key columns, n + m.
 * @param value Value columns, v.
 * @returns The tile; its workgroup memory is within the device's limit.
 */
export function prefillTile(
  gpu: Gpu,
  width: number,
  value: number,
): PrefillTile {
  const software: PrefillTile = {
    rows: 8,
    rowsPerThread: 2,
    across: 2,
    chunk: 16,
  };
  if (gpu.facts.software) return software;
  const candidates: readonly PrefillTile[] = [
    // Accumulators are rowsPerThread·v/across registers: beyond 64 they spill.
    { rows: 64, rowsPerThread: 8, across: 8, chunk: 64 },
    { rows: 64, rowsPerThread: 8, across: 8, chunk: 32 },
    { rows: 32, rowsPerThread: 4, across: 8, chunk: 64 },
    { rows: 32, rowsPerThread: 4, across: 8, chunk: 32 },
    { rows: 16, rowsPerThread: 2, across: 8, chunk: 32 },
    { rows: 16, rowsPerThread: 2, across: 4, chunk: 32 },
  ];
  const limit = gpu.facts.limits.maxComputeWorkgroupStorageSize;
  return candidates.find((tile) =>
    workgroupBytes(tile, width, value) <= limit &&
    tile.rowsPerThread * value / tile.across <= 64
  ) ??
    candidates.findLast((tile) =>
      workgroupBytes(tile, width, value) <= limit
    ) ?? software;
}

/**
 * Flash attention: query row i of the pass, at position p in its sequence, sees the keys at positions 0..p.
 *
 * @param arena Owns the parameters.
 * @param args Views and sizes.
 * @returns The dispatch.
 * @throws {RangeError} If rotaryKey is missing, or views or widths do not allow matrices that were asked for.
 */
export function attentionPrefill(
  arena: Arena,
  args: AttentionPrefillArgs,
): Dispatch[] {
  const { nope, rotary, value, values, out, heads, lse, matrix } = args;
  if (matrix !== undefined) {
    return [dispatchOf(arena, matrixPrefillUse(args, matrix))];
  }
  const tile = args.tile ?? prefillTile(arena.gpu, nope + rotary, value);
  const loads = keyLoads(args);
  const valueVector = isVector(values, value, args.valueGroupStride);
  const outVector = isVector(out, value);
  const sizes = tileSizes(tile, nope, rotary, value);
  const constants = {
    ...loads.constants,
    ...sizes,
    V: value,
    VALUE_VECTOR: valueVector,
    OUT_VECTOR: outVector,
    OUT: out.element,
    LSE: lse !== undefined,
  };
  const blocksPerTile = Math.ceil(args.tileRows / tile.rows);
  const blocks = args.tileCount * blocksPerTile;
  const scores = args.scores ?? 0;
  return [dispatchOf(arena, {
    label: "attention_prefill",
    source: SOURCE,
    constants: { ...constants, LOADS: fillTemplate(LOADS_SOURCE, constants) },
    bindings: {
      ...loads.bindings,
      values: viewBinding(values, valueVector),
      tiles: { buffer: args.tiles, type: "array<u32>", access: "read" },
      out: { ...viewBinding(out, outVector), access: "read_write" },
      ...(lse === undefined ? {} : {
        lse: { buffer: lse, type: "array<f32>", access: "read_write" },
      }),
    },
    params: {
      ...loads.params,
      value_offset: { u32: values.offset },
      value_stride: { u32: values.stride },
      value_group_stride: { u32: args.valueGroupStride },
      value_capacity: { u32: args.valueCapacity ?? args.capacity },
      out_offset: { u32: out.offset },
      out_stride: { u32: out.stride },
      blocks: { u32: blocks },
      blocks_per_tile: { u32: blocksPerTile },
    },
    grid: [blocks, heads, 1],
    bytes: prefillBytes(args),
    flops: 2 * scores * heads * (nope + rotary + value),
  })];
}

function tileSizes(
  tile: PrefillTile,
  nope: number,
  rotary: number,
  value: number,
) {
  const { rows, rowsPerThread, across } = tile;
  const width = Math.ceil(nope / 4) + Math.ceil(rotary / 4);
  const value4 = Math.ceil(value / 4);
  const chunk = Math.min(tile.chunk / 4, width);
  const down = rows / rowsPerThread;
  const threads = across * down;
  const keys = 4 * across;
  return {
    ROWS: rows,
    RM: rowsPerThread,
    TX: across,
    TY: down,
    THREADS: threads,
    KEYS: keys,
    V4: value4,
    VC: Math.ceil(value4 / across),
    CHUNK4: chunk,
    CHUNKS: Math.ceil(width / chunk),
    K_LOADS: Math.ceil(keys * chunk / threads),
    V_LOADS: Math.ceil(keys * value4 / threads),
    Q_LOADS: Math.ceil(rows * chunk / threads),
    Q_STRIDE: odd(chunk),
    // The last threads' value columns may lie past the last value.
    KV_STRIDE: odd(Math.max(chunk, Math.ceil(value4 / across) * across)),
    P_STRIDE: odd(across),
  };
}

function workgroupBytes(
  tile: PrefillTile,
  width: number,
  value: number,
): number {
  // At most one vector more than together: the parts are padded apart.
  const sizes = tileSizes(tile, width + 4, 0, value);
  return 16 * (tile.rows * (sizes.Q_STRIDE + sizes.P_STRIDE) +
        sizes.KEYS * sizes.KV_STRIDE) + 4 * tile.rows;
}

/** Strides of an odd number of vectors spread a column over all banks. */
function odd(n: number): number {
  return n % 2 === 0 ? n + 1 : n;
}
