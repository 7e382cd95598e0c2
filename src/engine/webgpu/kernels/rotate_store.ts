// Rotary embedding in place and the write to the KV cache, one dispatch.

import type { Arena, Dispatch } from "../device/gpu.ts";
import {
  type Binding,
  dispatchOf,
  ELEMENT_BYTES,
  linearGrid,
  type Param,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("rotate_store.wgsl", import.meta.url);
const THREADS = 64;
/** Numbers of a vector. */
const LANES = 4;

/** Heads side by side in a row, and which of their dims rotate. */
export interface Region {
  /** Column of the first head. */
  readonly start: number;
  readonly heads: number;
  /** Columns of a head. */
  readonly width: number;
  /** First dim of a head that rotates. */
  readonly rotaryStart: number;
  /** Dims of a head that rotate; 0: none. */
  readonly rotaryWidth: number;
}

/** A region that goes to a cache. */
export interface StoredRegion extends Region {
  /** Its row `sequence·capacity + position`, columns from 0; nothing is stored without it. */
  readonly to?: View;
}

/** What rotateStore() takes. */
export interface RotateStoreArgs {
  /** Projection outputs, f32 [rows, ...], rotated in place. */
  readonly x: View;
  readonly rows: number;
  /** u32 [rows] */
  readonly rowSequence: GPUBuffer;
  /** u32 [rows] */
  readonly rowPosition: GPUBuffer;
  /** Cache rows of a sequence. */
  readonly capacity: number;
  /** f32 [positions, pairs] each; unused where nothing rotates. */
  readonly table: {
    readonly cos: GPUBuffer;
    readonly sin: GPUBuffer;
    readonly pairs: number;
  };
  readonly layout: "half" | "interleaved";
  readonly query: Region;
  /** Keys, or the latent. */
  readonly first?: StoredRegion;
  /** Values, or the rotary key. */
  readonly second?: StoredRegion;
}

const NOTHING: StoredRegion = {
  start: 0,
  heads: 0,
  width: 0,
  rotaryStart: 0,
  rotaryWidth: 0,
};

/**
 * Rotates queries and keys in place and writes keys and values to the cache.
 *
 * @param arena Owns the parameters.
 * @param args Views and regions.
 * @returns The dispatch, or none where nothing rotates and nothing is stored.
 * @throws {RangeError} If a region rotates other than 2·table.pairs dims.
 */
export function rotateStore(arena: Arena, args: RotateStoreArgs): Dispatch[] {
  const { x, rows, table, query, first = NOTHING, second = NOTHING } = args;
  const regions = { query, first, second };
  for (const [name, { rotaryWidth }] of Object.entries(regions)) {
    if (rotaryWidth !== 0 && rotaryWidth !== 2 * table.pairs) {
      throw new RangeError(
        `Cannot rotate ${name} as its rotaryWidth must be 0 or ${
          2 * table.pairs
        }: current value is ${rotaryWidth}`,
      );
    }
  }
  const lanes = isWhole(args, regions) ? LANES : 1;
  const queryUnits = query.heads * query.rotaryWidth / 2 / lanes;
  const firstUnits = unitsOf(first) / lanes;
  const secondUnits = unitsOf(second) / lanes;
  const units = queryUnits + firstUnits + secondUnits;
  if (units === 0) return [];
  const rotates = Object.values(regions).some((region) =>
    region.rotaryWidth > 0
  );
  const storesFirst = first.to !== undefined && firstUnits > 0;
  const storesSecond = second.to !== undefined && secondUnits > 0;
  const bindings: Record<string, Binding> = {
    x: rowBinding(x, lanes > 1, "read_write"),
    row_position: read(args.rowPosition, "u32"),
  };
  if (storesFirst || storesSecond) {
    bindings.row_sequence = read(args.rowSequence, "u32");
  }
  if (rotates) {
    const number = lanes > 1 ? "vec4<f32>" : "f32";
    bindings.cosines = read(table.cos, number);
    bindings.sines = read(table.sin, number);
  }
  const written = (view: View) => rowBinding(view, lanes > 1, "read_write");
  if (storesFirst) bindings.first_to = written(first.to!);
  if (storesSecond) bindings.second_to = written(second.to!);
  const storedType = ({ to }: StoredRegion) => {
    const { element = "f32" } = to ?? {};
    return lanes > 1 ? `vec4<${element}>` : element;
  };
  const stored = [first, second].reduce(
    (sum, { to, heads, width }) =>
      sum + (to === undefined ? 0 : heads * width * ELEMENT_BYTES[to.element]),
    0,
  );
  const pairs = [query, first, second].reduce(
    (sum, { heads, rotaryWidth }) => sum + heads * rotaryWidth / 2,
    0,
  );
  return [dispatchOf(arena, {
    label: "rotate_store",
    source: SOURCE,
    constants: {
      THREADS,
      ROTATES: rotates,
      HALF: args.layout === "half",
      STORES: storesFirst || storesSecond,
      STORES_FIRST: storesFirst,
      STORES_SECOND: storesSecond,
      FIRST_TYPE: storedType(first),
      SECOND_TYPE: storedType(second),
      LANES: lanes,
    },
    bindings,
    params: {
      rows: { u32: rows },
      capacity: { u32: args.capacity },
      x_offset: { u32: x.offset / lanes },
      x_stride: { u32: x.stride / lanes },
      ...regionParams("query", query, queryUnits, lanes),
      ...regionParams("first", first, firstUnits, lanes),
      ...regionParams("second", second, secondUnits, lanes),
    },
    grid: linearGrid(arena.gpu, Math.ceil(rows * units / THREADS)),
    bytes: rows * (pairs * 16 + stored),
    flops: rows * pairs * 6,
  })];
}

/** Threads that a row needs for a region: its pairs and its other columns. */
export function unitsOf(
  { heads, width, rotaryWidth, to }: StoredRegion,
): number {
  if (to === undefined && rotaryWidth === 0) return 0;
  return heads * (width - rotaryWidth / 2);
}

/**
 * A region as the kernel's parameters.
 *
 * @param name "query", "first" or "second".
 * @param region The region.
 * @param units Threads that a row needs for it.
 * @param lanes Numbers of a vector, which the others count. @default 1
 */
export function regionParams(
  name: string,
  region: StoredRegion,
  units: number,
  lanes = 1,
): Record<string, Param> {
  return {
    [`${name}_start`]: { u32: region.start / lanes },
    [`${name}_width`]: { u32: region.width / lanes },
    [`${name}_rotary`]: { u32: region.rotaryStart / lanes },
    [`${name}_pairs`]: { u32: region.rotaryWidth / 2 / lanes },
    [`${name}_units`]: { u32: units },
    [`${name}_to_offset`]: { u32: (region.to?.offset ?? 0) / lanes },
    [`${name}_to_stride`]: { u32: (region.to?.stride ?? 0) / lanes },
  };
}

/** Whether vectors of numbers never cross from one part of a row into another. */
function isWhole(
  { x, layout }: RotateStoreArgs,
  regions: Readonly<Record<string, StoredRegion>>,
): boolean {
  return isAligned(x, LANES) &&
    Object.values(regions).every((
      { start, width, rotaryStart, rotaryWidth, to },
    ) =>
      [start, width, rotaryStart, rotaryWidth / 2].every((n) =>
        n % LANES === 0
      ) &&
      (rotaryWidth === 0 || layout === "half") &&
      (to === undefined || isAligned(to, LANES))
    );
}

function read(buffer: GPUBuffer, element: string): Binding {
  return { buffer, type: `array<${element}>`, access: "read" };
}
