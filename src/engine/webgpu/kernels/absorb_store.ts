// All of latent attention's work before the attention: queries mapped into the
// latent space, rotary dims rotated, and the cache written.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { absorb, type AbsorbArgs } from "./absorb.ts";
import { type AbsorbShape, absorbShape } from "./absorb_tuning.ts";
import type { MatrixTile } from "./gemm_tile.ts";
import {
  type Binding,
  dispatchOf,
  ELEMENT_BYTES,
  type KernelUse,
  readWgsl,
  type View,
} from "./kernel.ts";
import { latentKeysUse } from "./latent_product.ts";
import { keyTile } from "./latent_product_tuning.ts";
import { rotateStore } from "./rotate_store.ts";
import { isAligned } from "./row_access.ts";
import {
  ROW_UNITS,
  rowUnits,
  type RowUnitsArgs,
  type StoredRegion,
} from "./row_units.ts";

const SOURCE = readWgsl("absorb_store.wgsl", import.meta.url);

/** What absorbStore() takes: a row a sequence, so that rowSequence is 0, 1, .... x is not changed where one dispatch does it all. */
export type AbsorbStoreArgs =
  & RowUnitsArgs
  & AbsorbArgs
  & {
    readonly first: StoredRegion;
    readonly second: StoredRegion;
    /** How the work is cut. @default what is fastest for the rows */
    readonly shape?: AbsorbShape;
    /** By subgroup matrices; the views and the device allow it. @default where they do, for many rows */
    readonly tile?: MatrixTile;
  };

/**
 * out_h = [keyUp_g(h)^T q_nope; rotated q_rotary], and what rotateStore() writes to
 * the cache.
 *
 * @param arena Owns the parameters.
 * @param args Views, regions and sizes.
 * @returns One dispatch, or two where rows of keyUp are not whole loads.
 * @throws {RangeError} If a region rotates other than 2·table.pairs dims.
 */
export function absorbStore(
  arena: Arena,
  args: AbsorbStoreArgs,
): Dispatch[] {
  const { keyUp, rank, query, first, second, table } = args;
  const columns = keyUp.element === "f16" ? 8 : 4;
  const nope = query.width - query.rotaryWidth;
  const shape = args.shape ?? absorbShape(arena.gpu, args.rows, nope);
  if (
    rank % columns !== 0 || !isAligned(keyUp, columns) || nope === 0 ||
    // What rotates otherwise is refused there.
    [query, first, second].some(({ rotaryWidth }) =>
      rotaryWidth !== 0 && rotaryWidth !== 2 * table.pairs
    ) || !fitsAbsorbShape(arena.gpu, keyUp, nope, shape)
  ) {
    return [...rotateStore(arena, args), ...absorb(arena, args)];
  }
  const tile = args.tile ??
    (args.shape === undefined ? keyTile(arena.gpu, args) : undefined);
  return [
    tile === undefined ? oneDispatch(arena, args, shape) : dispatchOf(
      arena,
      absorbMatrixUse(args, tile, arena.gpu.facts.subgroupSize),
    ),
  ];
}

/**
 * All of it in one dispatch by subgroup matrices.
 *
 * @param args Views, regions and sizes.
 * @param tile Sizes of tiles.
 * @param lanes Threads of a subgroup.
 * @returns What dispatchOf() takes.
 * @throws {RangeError} If threads do not share the tile evenly.
 */
export function absorbMatrixUse(
  args: AbsorbStoreArgs,
  tile: MatrixTile,
  lanes: number,
): KernelUse {
  return latentKeysUse(args, storesOf(args), tile, lanes);
}

/** Whether a shape's sums and queries fit workgroup memory. */
export function fitsAbsorbShape(
  { facts: { limits } }: Gpu,
  { element }: View,
  nope: number,
  shape: AbsorbShape,
): boolean {
  const rows = shape.rows * shape.rowGroups;
  const columns = shape.columns * (element === "f16" ? 8 : 4);
  const bytes = 4 * rows *
    (paddedNope(nope, shape) + shape.slices * columns);
  return bytes <= limits.maxComputeWorkgroupStorageSize &&
    shape.columns * shape.slices * shape.rowGroups <=
      limits.maxComputeInvocationsPerWorkgroup;
}

function paddedNope(nope: number, { slices, ahead }: AbsorbShape): number {
  return Math.ceil(nope / (ahead * slices)) * ahead * slices;
}

/** What both forms have: rotary dims and the cache, units of a row of their own. */
function storesOf(args: AbsorbStoreArgs) {
  const { rows, query, groups, keyUp, rank, out } = args;
  const rotary = query.rotaryWidth;
  const nope = query.width - rotary;
  const { units, constants, bindings, params, storedBytes } = rowUnits(
    args,
    false,
  );
  return {
    source: ROW_UNITS,
    units,
    constants,
    bindings: {
      ...bindings,
      out: {
        buffer: out.buffer,
        type: "array<f32>",
        access: "read_write",
      } satisfies Binding,
    },
    params: {
      ...params,
      heads: { u32: query.heads },
      rank: { u32: rank },
      nope_at: { u32: query.rotaryStart === 0 ? rotary : 0 },
      out_offset: { u32: out.offset },
      out_stride: { u32: out.stride },
      rotary_to: { u32: args.latentFirst ? rank : 0 },
    },
    bytes: groups * nope * rank * ELEMENT_BYTES[keyUp.element] +
      rows * (4 * query.heads * (query.width + rank + rotary) + storedBytes),
    flops: 2 * rows * query.heads * nope * rank,
  };
}

function oneDispatch(
  arena: Arena,
  args: AbsorbStoreArgs,
  shape: AbsorbShape,
): Dispatch {
  const { rows, query, groups, keyUp, rank } = args;
  const vectors = keyUp.element === "f16" ? 2 : 1;
  const rotary = query.rotaryWidth;
  const nope = query.width - rotary;
  const nopePadded = paddedNope(nope, shape);
  const threads = shape.columns * shape.slices * shape.rowGroups;
  const rowTiles = Math.ceil(rows / (shape.rows * shape.rowGroups));
  const columnTiles = Math.ceil(rank / (4 * vectors * shape.columns));
  const { units, ...use } = storesOf(args);
  // Workgroups of units lie beside those of heads, in as many rows as they need.
  const unitGroups = Math.ceil(
    rows * units / (threads * rowTiles * columnTiles),
  );
  return dispatchOf(arena, {
    ...use,
    label: "absorb_store",
    source: use.source + SOURCE,
    constants: {
      ...use.constants,
      N: nope,
      N_PAD: nopePadded,
      E: vectors,
      CT: shape.columns,
      SLICES: shape.slices,
      RG: shape.rowGroups,
      RT: shape.rows,
      AHEAD: shape.ahead,
      TURNS: nopePadded / (shape.slices * shape.ahead),
    },
    bindings: {
      ...use.bindings,
      key_up: readOnly(
        keyUp.buffer,
        keyUp.element === "f16" ? "vec4<u32>" : "vec4<f32>",
      ),
    },
    params: {
      ...use.params,
      groups: { u32: groups },
      rotary: { u32: rotary },
      up_offset: { u32: keyUp.offset },
      up_stride: { u32: keyUp.stride },
      group_rows: { u32: args.groupRows ?? nope },
      latent_to: { u32: args.latentFirst ? 0 : rotary },
    },
    grid: [rowTiles, query.heads + unitGroups, columnTiles],
  });
}

function readOnly(buffer: GPUBuffer, element: string): Binding {
  return { buffer, type: `array<${element}>`, access: "read" };
}
