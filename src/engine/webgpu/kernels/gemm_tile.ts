// Tiles of gemm(): what a workgroup takes of a product, and what it needs for it.

import type { Gpu } from "../device/gpu.ts";

/** How gemm() without subgroup matrices cuts its work; see gemm_registers.wgsl. */
export interface RegisterTile {
  readonly kind: "registers";
  /** Rows of x and rows of W of a workgroup, columns at a time: multiples of 4. */
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Sums of a thread: divisors of the tile's sides. */
  readonly threadRows: number;
  readonly threadColumns: number;
  /** Neighboring threads that lie along W; divides the threads along W. @default all along W */
  readonly across?: number;
  /** Columns of f16 weights whose products are added up in halves before they join a sum: a multiple of 4 that divides the depth. Where x is f16, too. @default none: products in f32 */
  readonly chain?: number;
  /** Slices of the columns of W, with workgroups of their own. @default 1 */
  readonly splits?: number;
}

/** How gemm() with subgroup matrices cuts its work; see gemm_matrix.wgsl. */
export interface MatrixTile {
  readonly kind: "matrix";
  /** Rows of x and rows of W of a workgroup, columns at a time: multiples of 16. */
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Subgroups that share the tile: each takes a multiple of 16 on both sides. */
  readonly subgroupRows: number;
  readonly subgroupColumns: number;
  /** Times as many subgroups, which share the tile's columns. @default 1 */
  readonly subgroupDepths?: number;
  /** Tiles in workgroup memory: while one is multiplied, the other is filled. @default 1 */
  readonly buffers?: 1 | 2;
  /** Tiles on their way from memory to registers. @default 1 */
  readonly ahead?: number;
  /** Slices of the columns of W, with workgroups of their own. @default 1 */
  readonly splits?: number;
}

/** How gemm() cuts its work. */
export type GemmTile = RegisterTile | MatrixTile;

/** A tile of rows of x, rows of W and columns at a time, by so many subgroups along both. */
export function matrixTile(
  rows: number,
  columns: number,
  depth: number,
  subgroupRows: number,
  subgroupColumns: number,
  more: Pick<
    MatrixTile,
    "subgroupDepths" | "buffers" | "ahead" | "splits"
  > = {},
): MatrixTile {
  return {
    kind: "matrix",
    rows,
    columns,
    depth,
    subgroupRows,
    subgroupColumns,
    ...more,
  };
}

/** A tile of rows of x, rows of W and columns at a time, so many sums of a thread along both. */
export function registerTile(
  rows: number,
  columns: number,
  depth: number,
  threadRows: number,
  threadColumns: number,
  more: Pick<RegisterTile, "across" | "chain" | "splits"> = {},
): RegisterTile {
  return {
    kind: "registers",
    rows,
    columns,
    depth,
    threadRows,
    threadColumns,
    ...more,
  };
}

/** A tile in words: "32x64x64 by 1x4 subgroups, 2 buffers, 4 slices". */
export function tileName(tile: GemmTile): string {
  const sides = `${tile.rows}x${tile.columns}x${tile.depth}`;
  const { splits = 1 } = tile;
  const slices = splits > 1 ? `, ${splits} slices` : "";
  if (tile.kind === "registers") {
    const { threadRows, threadColumns, across, chain } = tile;
    const order = across === undefined ? "" : `, ${across} across`;
    const halves = chain === undefined ? "" : `, halves of ${chain}`;
    return `${sides} by ${threadRows}x${threadColumns} sums${order}${halves}${slices}`;
  }
  const { buffers = 1, ahead = 1, subgroupDepths = 1 } = tile;
  const subgroups = [tile.subgroupRows, tile.subgroupColumns];
  if (subgroupDepths > 1) subgroups.push(subgroupDepths);
  const filled = buffers > 1 ? `, ${buffers} buffers` : "";
  const loaded = ahead > 1 ? `, ${ahead} ahead` : "";
  return `${sides} by ${
    subgroups.join("x")
  } subgroups${filled}${loaded}${slices}`;
}

/**
 * Whether a device can run a tile: its workgroup memory holds it, and for subgroup
 * matrices its subgroups have one size.
 *
 * @param gpu The device.
 * @param tile The tile.
 * @param gated Whether rows of W make pairs, of which one number is stored. @default false
 */
export function fitsTile(gpu: Gpu, tile: GemmTile, gated = false): boolean {
  if (tile.kind === "matrix" ? !hasMatrices(gpu) : gated) return false;
  if (tile.kind === "registers" && tile.chain && !gpu.features.f16) {
    return false;
  }
  const { subgroupSize, limits } = gpu.facts;
  const isShared = tile.kind === "registers" ||
    tileFault(tile, subgroupSize, gated) === undefined;
  return isShared &&
    workgroupBytes(tile, gated) <= limits.maxComputeWorkgroupStorageSize &&
    tileThreads(tile, subgroupSize) <= limits.maxComputeInvocationsPerWorkgroup;
}

/** Threads of a workgroup, on subgroups of so many. */
export function tileThreads(tile: GemmTile, lanes: number): number {
  return tile.kind === "matrix"
    ? lanes * subgroupsOf(tile)
    : tile.rows / tile.threadRows * (tile.columns / tile.threadColumns);
}

/**
 * Why subgroups and their threads cannot share a tile evenly, in words.
 *
 * @param tile The tile.
 * @param lanes Threads of a subgroup.
 * @param gated Whether each subgroup needs as many rows of two halves of W.
 * @returns undefined where they can.
 */
export function tileFault(
  tile: MatrixTile,
  lanes: number,
  gated = false,
): string | undefined {
  const { rows, columns, depth, subgroupRows, subgroupColumns } = tile;
  const { subgroupDepths = 1 } = tile;
  const sides = [
    ["rows", rows, 16 * subgroupRows],
    ["columns", columns, 16 * subgroupColumns * (gated ? 2 : 1)],
    ["depth", depth, 16 * subgroupDepths],
    // Threads load lines of the tile, and share the sums of a matrix.
    ["threads", lanes * subgroupsOf(tile), depth / 8],
    ["numbers of a matrix", 256, lanes * subgroupDepths],
  ] as const;
  const fault = sides.find(([, length, step]) => length % step !== 0);
  return fault &&
    `${fault[0]} must be a multiple of ${fault[2]}: current value is ${
      fault[1]
    }`;
}

function subgroupsOf(tile: MatrixTile): number {
  const { subgroupRows, subgroupColumns, subgroupDepths = 1 } = tile;
  return subgroupRows * subgroupColumns * subgroupDepths;
}

/** Workgroups of a product by a tile, for each slice. */
export function workgroups(
  tile: GemmTile,
  rows: number,
  height: number,
): number {
  return Math.ceil(rows / tile.rows) * Math.ceil(height / tile.columns);
}

/** Whether a device multiplies matrices of halves by subgroups. */
export function hasMatrices({ features, facts }: Gpu): boolean {
  return features.subgroupMatrix && features.f16 && facts.subgroupSize > 0;
}

/** Bytes of workgroup memory of a tile; of its sums, twice as many where it is gated. */
export function workgroupBytes(tile: GemmTile, gated = false): number {
  const { rows, columns, depth } = tile;
  if (tile.kind === "registers") {
    const vector = tile.chain === undefined ? 16 : 8;
    return vector * (rows + columns) * (depth / 4 + 1);
  }
  const sums = 1024 * subgroupsOf(tile) * (gated ? 2 : 1);
  return 2 * (tile.buffers ?? 1) * (rows + columns) * (depth + 8) + sums;
}
