// Sums of attention weights over queries and heads, for calibration: what each
// token receives, and how mass falls with distance.

import type { Arena, Dispatch } from "../device/gpu.ts";
import type { PrefillTile } from "./attention_prefill.ts";
import {
  type AttentionViews,
  keyLoads,
  LOADS_SOURCE,
} from "./attention_views.ts";
import { type Binding, dispatchOf, readWgsl } from "./kernel.ts";
import { fillTemplate } from "./template.ts";

const SOURCE = readWgsl("attention_sums.wgsl", import.meta.url);
const TOTAL_SOURCE = readWgsl("attention_sums_total.wgsl", import.meta.url);

// Workgroups enough to fill a large GPU.
const WORKGROUPS = 512;

/** What attentionSums() takes. */
export interface AttentionSumsArgs extends AttentionViews {
  /** f32 [rows, H] of attentionPrefill(). */
  readonly lse: GPUBuffer;
  /** u32 [tileCount, 4] as in attentionPrefill(); a sequence's tiles follow each other, from position 0 to its last. */
  readonly tiles: GPUBuffer;
  readonly tileCount: number;
  readonly tileRows: number;
  readonly rows: number;
  /** Length of massByDistance: of the longest sequence. */
  readonly distances: number;
  /** f32 [rows]: sum over heads and queries of the weight on each row's key. */
  readonly received: GPUBuffer;
  /** f32 [distances]: sum over heads and queries of the weight at each distance. */
  readonly massByDistance: GPUBuffer;
  /** For the work's size: sum over rows of the keys each sees. */
  readonly scores?: number;
}

/**
 * Sums of this pass's attention weights; both outputs are overwritten.
 *
 * @param arena Owns the parameters and the partial sums.
 * @param args Views and sizes.
 * @returns Two dispatches.
 */
export function attentionSums(
  arena: Arena,
  args: AttentionSumsArgs,
): Dispatch[] {
  const { heads, nope, rotary, rows, distances, scores = 0 } = args;
  const { software } = arena.gpu.facts;
  const tile: PrefillTile = software
    ? { rows: 8, rowsPerThread: 2, across: 2, chunk: 16 }
    : { rows: 64, rowsPerThread: 8, across: 8, chunk: 32 };
  const loads = keyLoads(args);
  const keys = 4 * tile.across;
  const down = tile.rows / tile.rowsPerThread;
  const threads = tile.across * down;
  const width = Math.ceil(nope / 4) + Math.ceil(rotary / 4);
  const chunk = Math.min(tile.chunk / 4, width);
  const blocksPerTile = Math.ceil(args.tileRows / keys);
  const blocks = args.tileCount * blocksPerTile;
  const slices = Math.min(heads, Math.ceil(WORKGROUPS / blocks));
  const mass = arena.buffer("massParts", 4 * blocks * slices * distances);
  const receivedParts = arena.buffer("receivedParts", 4 * slices * rows);
  const constants = {
    ...loads.constants,
    // No values here.
    V: 0,
    ROWS: tile.rows,
    RM: tile.rowsPerThread,
    TX: tile.across,
    TY: down,
    THREADS: threads,
    KEYS: keys,
    CHUNK4: chunk,
    STRIDE: chunk % 2 === 0 ? chunk + 1 : chunk,
  };
  const parts = {
    rows: { u32: rows },
    distances: { u32: distances },
    slices: { u32: slices },
  };
  return [
    dispatchOf(arena, {
      label: "attention_sums",
      source: SOURCE,
      constants: { ...constants, LOADS: fillTemplate(LOADS_SOURCE, constants) },
      bindings: {
        ...loads.bindings,
        tiles: { buffer: args.tiles, type: "array<u32>", access: "read" },
        lse: numbers(args.lse, "read"),
        mass: numbers(mass, "read_write"),
        received_parts: numbers(receivedParts, "read_write"),
      },
      params: {
        ...loads.params,
        ...parts,
        blocks_per_tile: { u32: blocksPerTile },
        tile_count: { u32: args.tileCount },
      },
      grid: [blocks, slices, 1],
      bytes: 4 * (rows * heads * (nope + rotary + 1) + rows + distances),
      flops: 2 * scores * heads * (nope + rotary),
    }),
    dispatchOf(arena, {
      label: "attention_sums_total",
      source: TOTAL_SOURCE,
      constants: { THREADS: 64 },
      bindings: {
        received_parts: numbers(receivedParts, "read"),
        mass: numbers(mass, "read"),
        received: numbers(args.received, "read_write"),
        mass_by_distance: numbers(args.massByDistance, "read_write"),
      },
      params: { ...parts, mass_rows: { u32: blocks * slices } },
      grid: [Math.ceil((rows + distances) / 64), 1, 1],
      bytes: 4 * (blocks * slices * distances + slices * rows),
      flops: blocks * slices * distances + slices * rows,
    }),
  ];
}

function numbers(buffer: GPUBuffer, access: Binding["access"]): Binding {
  return { buffer, type: "array<f32>", access };
}
