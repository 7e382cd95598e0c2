// What kernels have in common whose threads rotate or store units of rows of
// projections; see row_units.wgsl.

import {
  type Binding,
  ELEMENT_BYTES,
  type Param,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";
import type { Constants } from "./template.ts";

/** Declares rotate_or_store(row, unit). */
export const ROW_UNITS = readWgsl("row_units.wgsl", import.meta.url);

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

/** Rows of projections and what becomes of their regions. */
export interface RowUnitsArgs {
  /** Projection outputs, f32 [rows, ...]. */
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

/** Parts of a kernel. */
export interface RowUnits {
  /** Of a row. */
  readonly units: number;
  readonly constants: Constants;
  readonly bindings: Readonly<Record<string, Binding>>;
  readonly params: Readonly<Record<string, Param>>;
  /** Of a row, that go to caches. */
  readonly storedBytes: number;
  /** Of a row, that rotate. */
  readonly pairs: number;
}

const NOTHING: StoredRegion = {
  start: 0,
  heads: 0,
  width: 0,
  rotaryStart: 0,
  rotaryWidth: 0,
};

/**
 * The parts of a kernel that rotates and stores.
 *
 * @param args Rows and regions.
 * @param isInPlace Whether pairs are rotated where they are, by vectors where that can be; else out[] takes those of queries, and row i is of sequence i.
 * @throws {RangeError} If a region rotates other than 2·table.pairs dims.
 */
export function rowUnits(args: RowUnitsArgs, isInPlace: boolean): RowUnits {
  const { x, table, query, first = NOTHING, second = NOTHING } = args;
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
  const lanes = isInPlace && isWhole(args, Object.values(regions)) ? LANES : 1;
  const isVector = lanes > 1;
  const queryUnits = query.heads * query.rotaryWidth / 2 / lanes;
  const firstUnits = unitsOf(first) / lanes;
  const secondUnits = unitsOf(second) / lanes;
  const rotates = Object.values(regions).some((region) =>
    region.rotaryWidth > 0
  );
  const storesFirst = first.to !== undefined && firstUnits > 0;
  const storesSecond = second.to !== undefined && secondUnits > 0;
  const read = (buffer: GPUBuffer, type: string): Binding => ({
    buffer,
    type: `array<${type}>`,
    access: "read",
  });
  const bindings: Record<string, Binding> = {
    x: rowBinding(x, isVector, isInPlace ? "read_write" : "read"),
    row_position: read(args.rowPosition, "u32"),
  };
  if (isInPlace && (storesFirst || storesSecond)) {
    bindings.row_sequence = read(args.rowSequence, "u32");
  }
  if (rotates) {
    const number = isVector ? "vec4<f32>" : "f32";
    bindings.cosines = read(table.cos, number);
    bindings.sines = read(table.sin, number);
  }
  const written = (view: View) => rowBinding(view, isVector, "read_write");
  if (storesFirst) bindings.first_to = written(first.to!);
  if (storesSecond) bindings.second_to = written(second.to!);
  const storedType = ({ to }: StoredRegion) => {
    const { element = "f32" } = to ?? {};
    return isVector ? `vec4<${element}>` : element;
  };
  return {
    units: queryUnits + firstUnits + secondUnits,
    constants: {
      IN_PLACE: isInPlace,
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
      rows: { u32: args.rows },
      capacity: { u32: args.capacity },
      x_offset: { u32: x.offset / lanes },
      x_stride: { u32: x.stride / lanes },
      ...regionParams("query", query, queryUnits, lanes),
      ...regionParams("first", first, firstUnits, lanes),
      ...regionParams("second", second, secondUnits, lanes),
    },
    storedBytes: [first, second].reduce(
      (sum, { to, heads, width }) =>
        sum +
        (to === undefined ? 0 : heads * width * ELEMENT_BYTES[to.element]),
      0,
    ),
    pairs: [query, first, second].reduce(
      (sum, { heads, rotaryWidth }) => sum + heads * rotaryWidth / 2,
      0,
    ),
  };
}

/** Threads that a row needs for a region: its pairs and its other columns. */
function unitsOf({ heads, width, rotaryWidth, to }: StoredRegion): number {
  if (to === undefined && rotaryWidth === 0) return 0;
  return heads * (width - rotaryWidth / 2);
}

function regionParams(
  name: string,
  region: StoredRegion,
  units: number,
  lanes: number,
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
  { x, layout }: RowUnitsArgs,
  regions: readonly StoredRegion[],
): boolean {
  return isAligned(x, LANES) &&
    regions.every(({ start, width, rotaryStart, rotaryWidth, to }) =>
      [start, width, rotaryStart, rotaryWidth / 2].every((n) =>
        n % LANES === 0
      ) &&
      (rotaryWidth === 0 || layout === "half") &&
      (to === undefined || isAligned(to, LANES))
    );
}
