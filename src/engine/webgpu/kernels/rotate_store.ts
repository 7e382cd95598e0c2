// Rotary embedding in place and the write to the KV cache, one dispatch.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { dispatchOf, linearGrid, readWgsl } from "./kernel.ts";
import { ROW_UNITS, rowUnits, type RowUnitsArgs } from "./row_units.ts";

const SOURCE = readWgsl("rotate_store.wgsl", import.meta.url);
const THREADS = 64;

/**
 * Rotates queries and keys in place and writes keys and values to the cache.
 *
 * @param arena Owns the parameters.
 * @param args Views and regions.
 * @returns The dispatch, or none where nothing rotates and nothing is stored.
 * @throws {RangeError} If a region rotates other than 2·table.pairs dims.
 */
export function rotateStore(arena: Arena, args: RowUnitsArgs): Dispatch[] {
  const { rows } = args;
  const { units, constants, bindings, params, storedBytes, pairs } = rowUnits(
    args,
    true,
  );
  if (units === 0) return [];
  return [dispatchOf(arena, {
    label: "rotate_store",
    source: ROW_UNITS + SOURCE,
    constants: { ...constants, THREADS },
    bindings,
    params,
    grid: linearGrid(arena.gpu, Math.ceil(rows * units / THREADS)),
    bytes: rows * (pairs * 16 + storedBytes),
    flops: rows * pairs * 6,
  })];
}
