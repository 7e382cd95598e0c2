// Tiles of gemm(): what a workgroup takes of a product, and what it needs for it.

import type { Gpu } from "../device/gpu.ts";

/** How gemm() without subgroup matrices cuts its work; see gemm_registers.wgsl. */
export interface RegisterTile {
  readonly kind: "registers";
  /** Rows of x and rows of W of a workgroup, columns at a time: multiples of 4. */
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Sums of a thread: multiples of 4 that divide the tile's sides. */
  readonly threadRows: number;
  readonly threadColumns: number;
  /** Neighboring threads that lie along W; divides the threads along W. @default all along W */
  readonly across?: number;
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
  /** Tiles in workgroup memory: while one is multiplied, the other is filled. @default 1 */
  readonly buffers?: 1 | 2;
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
  more: Pick<MatrixTile, "buffers" | "splits"> = {},
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
  more: Pick<RegisterTile, "across" | "splits"> = {},
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
    const { threadRows, threadColumns, across } = tile;
    const order = across === undefined ? "" : `, ${across} across`;
    return `${sides} by ${threadRows}x${threadColumns} sums${order}${slices}`;
  }
  const { subgroupRows, subgroupColumns, buffers = 1 } = tile;
  const filled = buffers > 1 ? `, ${buffers} buffers` : "";
  return `${sides} by ${subgroupRows}x${subgroupColumns} subgroups${filled}${slices}`;
}

/**
 * Whether a device can run a tile: its workgroup memory holds it, and for subgroup
 * matrices its subgroups have one size.
 *
 * @param gpu The device.
 * @param tile The tile.
 */
export function fitsTile(gpu: Gpu, tile: GemmTile): boolean {
  if (tile.kind === "matrix" && !hasMatrices(gpu)) return false;
  const { subgroupSize, limits } = gpu.facts;
  const threads = tile.kind === "matrix"
    ? tile.subgroupRows * tile.subgroupColumns * subgroupSize
    : tile.rows / tile.threadRows * (tile.columns / tile.threadColumns);
  return workgroupBytes(tile) <= limits.maxComputeWorkgroupStorageSize &&
    threads <= limits.maxComputeInvocationsPerWorkgroup;
}

/** Whether a device multiplies matrices of halves by subgroups. */
export function hasMatrices({ features, facts }: Gpu): boolean {
  return features.subgroupMatrix && features.f16 && facts.subgroupSize > 0;
}

function workgroupBytes(tile: GemmTile): number {
  const { rows, columns, depth } = tile;
  if (tile.kind === "registers") {
    return 16 * depth * (rows / 4 + 1 + columns / 4 + 1);
  }
  const sums = 1024 * tile.subgroupRows * tile.subgroupColumns;
  return 2 * (tile.buffers ?? 1) * (rows + columns) * (depth + 8) + sums;
}
