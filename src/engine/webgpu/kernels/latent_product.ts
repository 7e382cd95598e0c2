// The small products of latent attention by subgroup matrices, one for each head.

import type { Gpu } from "../device/gpu.ts";
import type { AbsorbStoreArgs } from "./absorb_store.ts";
import type { AttentionMergeArgs, ValueUp } from "./attention_merge.ts";
import { hasMatrices, type MatrixTile } from "./gemm_tile.ts";
import { HALVES } from "./halves.ts";
import {
  ELEMENT_BYTES,
  type KernelUse,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned } from "./row_access.ts";
import type { Constants } from "./template.ts";

const SOURCE = readWgsl("latent_product.wgsl", import.meta.url);

/** Splits of which a thread keeps all loads in flight. */
const MOST_KEPT = 8;

/** Rows times splits whose shares a workgroup keeps. */
const MOST_SHARES = 1024;

/** What each head multiplies. */
interface Product {
  /** Whether weights are [k, columns], else [columns, k]. */
  readonly keys: boolean;
  readonly k: number;
  readonly splits: number;
  readonly means: boolean;
}

/** Whether the views of a batch can be read in whole units of 8. */
export function takesKeys({ x, query, keyUp, rank }: AbsorbStoreArgs): boolean {
  const nope = query.width - query.rotaryWidth;
  const nopeAt = query.rotaryStart === 0 ? query.rotaryWidth : 0;
  return keyUp.element === "f16" && isAligned(keyUp, 8) && rank % 8 === 0 &&
    nope > 0 && nope % 8 === 0 && x.element === "f32" && isAligned(x, 4) &&
    [query.start, query.width, nopeAt].every((n) => n % 4 === 0);
}

/** Whether an up-projection can be read in whole units of 8. */
export function takesValues({ weight }: ValueUp, width: number): boolean {
  return weight.element === "f16" && isAligned(weight, 8) && width % 8 === 0;
}

/** Whether a device has room for a tile, and its threads load whole lines of it. */
export function fitsProduct(
  gpu: Gpu,
  tile: MatrixTile,
  product: Product,
): boolean {
  if (!hasMatrices(gpu)) return false;
  const { subgroupSize, limits } = gpu.facts;
  const cut = cutOf(tile, product.keys, subgroupSize);
  const { threads, wWidth, wLines } = cut;
  const subgroups = threads / subgroupSize;
  const bytes = 2 * (tile.rows * (tile.depth + 8) + wLines * (wWidth + 8)) +
    1024 * subgroups * cut.columns + 12 * tile.rows * product.splits;
  return divides(cut) && tile.rows * product.splits <= MOST_SHARES &&
    threads <= limits.maxComputeInvocationsPerWorkgroup &&
    bytes <= limits.maxComputeWorkgroupStorageSize;
}

/** How threads share a tile. */
function cutOf(tile: MatrixTile, keys: boolean, lanes: number) {
  const threads = lanes * tile.subgroupRows * tile.subgroupColumns;
  const wWidth = keys ? tile.columns : tile.depth;
  const wLines = keys ? tile.depth : tile.columns;
  const xStep = threads / (tile.depth / 8);
  const wStep = threads / (wWidth / 8);
  return {
    threads,
    wWidth,
    wLines,
    xStep,
    wStep,
    xUnits: tile.rows / xStep,
    wUnits: wLines / wStep,
    rows: tile.rows / tile.subgroupRows / 16,
    columns: tile.columns / tile.subgroupColumns / 16,
  };
}

function divides(cut: ReturnType<typeof cutOf>): boolean {
  return Object.values(cut).every((n) => Number.isInteger(n) && n > 0);
}

function constantsOf(
  tile: MatrixTile,
  product: Product,
  lanes: number,
): Constants {
  const { keys, k, splits, means } = product;
  const cut = cutOf(tile, keys, lanes);
  if (!divides(cut)) {
    throw new RangeError(
      `Cannot multiply by tiles of ${tile.rows}x${tile.columns}x${tile.depth} as ${cut.threads} threads do not load whole lines of them`,
    );
  }
  const merges = !keys && !(means && splits === 1);
  const kept = keys || !means || splits > MOST_KEPT ||
      splits * cut.xUnits > 2 * MOST_KEPT
    ? 0
    : splits;
  return {
    KEYS: keys,
    K: k,
    STEPS: Math.ceil(k / tile.depth),
    WHOLE: k % tile.depth === 0,
    MEANS: means,
    MERGES: merges,
    SPLITS: splits,
    KEPT: merges ? kept : keys ? 0 : 1,
    THREADS: cut.threads,
    LANES: lanes,
    TILE_ROWS: tile.rows,
    TILE_COLUMNS: tile.columns,
    DEPTH: tile.depth,
    SUBGROUP_ROWS: tile.subgroupRows,
    SUBGROUP_COLUMNS: tile.subgroupColumns,
    ROWS: cut.rows,
    COLUMNS: cut.columns,
    W_WIDTH: cut.wWidth,
    W_LINES: cut.wLines,
    X_STEP: cut.xStep,
    W_STEP: cut.wStep,
    X_UNITS: cut.xUnits,
    W_UNITS: cut.wUnits,
  };
}

/**
 * Values out of the latent space, the splits put together on the way.
 *
 * @param args As attentionMerge() takes them, with `up`.
 * @param up The up-projection: f16, of whole units of 8.
 * @param tile Sizes of tiles.
 * @param lanes Threads of a subgroup.
 * @returns What dispatchOf() takes.
 * @throws {RangeError} If threads do not share the tile evenly.
 */
export function latentValuesUse(
  args: AttentionMergeArgs,
  up: ValueUp,
  tile: MatrixTile,
  lanes: number,
): KernelUse {
  const { batch, heads, splits, width, out, means = false } = args;
  const product = { keys: false, k: width, splits, means };
  const constants = constantsOf(tile, product, lanes);
  const partBytes = means ? 2 : 4;
  return {
    label: "attention_merge matrix",
    source: HALVES + SOURCE,
    constants: { ...constants, OUT: out.element },
    bindings: {
      partial: {
        buffer: args.partial,
        type: `array<vec4<${means ? "u32" : "f32"}>>`,
        access: "read",
      },
      ...(constants.MERGES === true
        ? {
          stats: {
            buffer: args.stats,
            type: "array<vec2<f32>>",
            access: "read" as const,
          },
        }
        : {}),
      weight: {
        buffer: up.weight.buffer,
        type: "array<vec4<u32>>",
        access: "read",
      },
      out: {
        buffer: out.buffer,
        type: `array<${out.element}>`,
        access: "read_write",
      },
    },
    params: {
      rows: { u32: batch },
      heads: { u32: heads },
      groups: { u32: up.groups },
      group_rows: { u32: up.rowsPerGroup },
      first_row: { u32: up.firstRow },
      columns: { u32: up.value },
      ...weightParams(up.weight),
      out_offset: { u32: out.offset },
      out_stride: { u32: out.stride },
      out_width: { u32: up.value },
      out_at: { u32: 0 },
    },
    needs: ["f16", "subgroups", "subgroupMatrix"],
    grid: [
      Math.ceil(batch / tile.rows),
      heads,
      Math.ceil(up.value / tile.columns),
    ],
    bytes: batch * heads *
        (splits * (width * partBytes + 8) +
          up.value * ELEMENT_BYTES[out.element]) +
      2 * up.groups * up.value * width,
    flops: 2 * batch * heads * width * (splits + up.value),
  };
}

/**
 * Queries into the latent space, and by workgroups beside them what absorbStore()
 * rotates and stores.
 *
 * @param args As absorbStore() takes them; takesKeys().
 * @param stores Source, bindings and parameters of what is rotated and stored, and its units of a row.
 * @param tile Sizes of tiles.
 * @param lanes Threads of a subgroup.
 * @returns What dispatchOf() takes.
 * @throws {RangeError} If threads do not share the tile evenly.
 */
export function latentKeysUse(
  args: AbsorbStoreArgs,
  stores: Omit<KernelUse, "label" | "grid" | "needs"> & {
    readonly units: number;
  },
  tile: MatrixTile,
  lanes: number,
): KernelUse {
  const { x, rows, query, groups, keyUp, rank, latentFirst } = args;
  const rotary = query.rotaryWidth;
  const nope = query.width - rotary;
  const product = { keys: true, k: nope, splits: 1, means: true };
  const constants = constantsOf(tile, product, lanes);
  const rowTiles = Math.ceil(rows / tile.rows);
  const columnTiles = Math.ceil(rank / tile.columns);
  const threads = Number(constants.THREADS);
  const { units, ...use } = stores;
  const unitGroups = Math.ceil(
    rows * units / (threads * rowTiles * columnTiles),
  );
  return {
    ...use,
    label: "absorb_store matrix",
    source: use.source + HALVES + SOURCE,
    constants: { ...use.constants, ...constants, OUT: "f32" },
    bindings: {
      ...use.bindings,
      query: { buffer: x.buffer, type: "array<vec4<f32>>", access: "read" },
      weight: {
        buffer: keyUp.buffer,
        type: "array<vec4<u32>>",
        access: "read",
      },
    },
    params: {
      ...use.params,
      groups: { u32: groups },
      group_rows: { u32: args.groupRows ?? nope },
      first_row: { u32: 0 },
      columns: { u32: rank },
      ...weightParams(keyUp),
      out_width: { u32: rank + rotary },
      out_at: { u32: latentFirst ? 0 : rotary },
    },
    needs: ["f16", "subgroups", "subgroupMatrix"],
    grid: [rowTiles, query.heads + unitGroups, columnTiles],
  };
}

/** In units of 8. */
function weightParams({ offset, stride }: View) {
  return { up_offset: { u32: offset / 8 }, up_line: { u32: stride / 8 } };
}
