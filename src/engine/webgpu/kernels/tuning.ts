// Shapes of the linear kernels by device and size. Software adapters compile and
// run small tiles; GPUs get those that were fastest on an H100.

import type { Gpu } from "../device/gpu.ts";
import type { Element } from "./kernel.ts";

/** How gemv() spreads its work. */
export interface GemvShape {
  /** A subgroup shares a row of W; otherwise a workgroup does. Needs subgroups of one size. */
  readonly subgroups: boolean;
  /** Threads of a workgroup: a power of two, a multiple of the subgroup size. */
  readonly threads: number;
  /** Rows of W a subgroup (or workgroup) has in hand at once. */
  readonly rows: number;
  /** Loads of 8 columns of each row in flight. */
  readonly unroll: number;
}

/** A product of few rows. */
export interface GemvSize {
  /** Rows of x, rounded up to a power of two. */
  readonly columns: number;
  /** Rows of W. */
  readonly height: number;
  /** Whether x is computed on the way in. */
  readonly prologue: boolean;
}

/**
 * The shape of gemv() for a product.
 *
 * @param gpu The device.
 * @param size The product.
 */
export function gemvShape(gpu: Gpu, size: GemvSize): GemvShape {
  const subgroups = gpu.features.subgroups && gpu.facts.subgroupSize > 0;
  if (gpu.facts.software) return { subgroups, threads: 64, rows: 1, unroll: 1 };
  const { columns, height, prologue } = size;
  // Without subgroups, sums of all threads meet in workgroup memory; and small
  // matrices need small workgroups, or some processors get none.
  const threads = !subgroups ? 64 : height < 2048 ? 128 : 256;
  if (columns === 1) {
    const rows = prologue && height >= 4096 ? 2 : 1;
    return { subgroups, threads, rows, unroll: 4 };
  }
  // More rows of x need more of W in hand for each number of x that is loaded, and
  // more registers for their sums.
  const rows = columns === 2 || height < 2048 ? 2 : 4;
  return { subgroups, threads, rows, unroll: columns < 16 ? 2 : 1 };
}

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
}

/** How gemm() cuts its work. */
export type GemmTile = RegisterTile | MatrixTile;

/** A product of many rows. */
export interface GemmSize {
  /** Rows of x. */
  readonly rows: number;
  /** Rows of W. */
  readonly height: number;
  /** Of W. */
  readonly element: Element;
}

// Below this many workgroups a GPU is not filled, and smaller tiles are faster.
const FULL = 128;

/**
 * The tile of gemm() for a product.
 *
 * @param gpu The device.
 * @param size The product.
 */
export function gemmTile(gpu: Gpu, size: GemmSize): GemmTile {
  if (gpu.facts.software) return registerTile(16, 16, 8, 4, 4);
  const { rows, height } = size;
  const tile = matrixTileFor(rows, height);
  if (size.element === "f16" && fitsTile(gpu, tile)) return tile;
  if (rows <= 32) return registerTile(32, 64, 16, 4, 4);
  const large = Math.ceil(rows / 128) * Math.ceil(height / 128);
  if (rows > 64 && large >= FULL) return registerTile(128, 128, 16, 8, 8);
  return registerTile(64, 64, 16, 8, 4);
}

/**
 * The element type in which gemm() reads x fastest. Matrices of halves round x in
 * any case, so that f16 loses nothing.
 *
 * @param gpu The device.
 * @param size The product.
 */
export function gemmInput(gpu: Gpu, size: GemmSize): Element {
  return gemmTile(gpu, size).kind === "matrix" ? "f16" : "f32";
}

/**
 * Whether a device can multiply by subgroup matrices in such tiles: its subgroups
 * have one size, and its workgroup memory holds the tile.
 *
 * @param gpu The device.
 * @param tile The tile.
 */
export function fitsTile(gpu: Gpu, tile: MatrixTile): boolean {
  const { features, facts } = gpu;
  const subgroups = tile.subgroupRows * tile.subgroupColumns;
  const bytes = 2 * (tile.rows + tile.columns) * (tile.depth + 8) +
    1024 * subgroups;
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } =
    facts.limits;
  return features.subgroupMatrix && features.f16 && facts.subgroupSize > 0 &&
    bytes <= maxComputeWorkgroupStorageSize &&
    subgroups * facts.subgroupSize <= maxComputeInvocationsPerWorkgroup;
}

function matrixTileFor(rows: number, height: number): MatrixTile {
  if (rows <= 32) return matrixTile(32, 64, 64, 1, 4);
  const large = Math.ceil(rows / 128) * Math.ceil(height / 128);
  if (rows <= 64 || large < FULL / 2) return matrixTile(64, 64, 64, 2, 2);
  const largest = Math.ceil(rows / 256) * Math.ceil(height / 128);
  if (largest >= 4 * FULL) return matrixTile(256, 128, 32, 4, 2);
  return matrixTile(128, 128, 64, 2, 4);
}

/** A tile of rows of x, rows of W and columns at a time, by so many subgroups along both. */
export function matrixTile(
  rows: number,
  columns: number,
  depth: number,
  subgroupRows: number,
  subgroupColumns: number,
): MatrixTile {
  return {
    kind: "matrix",
    rows,
    columns,
    depth,
    subgroupRows,
    subgroupColumns,
  };
}

/** A tile of rows of x, rows of W and columns at a time, so many sums of a thread along both. */
export function registerTile(
  rows: number,
  columns: number,
  depth: number,
  threadRows: number,
  threadColumns: number,
): RegisterTile {
  return { kind: "registers", rows, columns, depth, threadRows, threadColumns };
}

/** Rows of x up to which linear() takes gemv(), with a prologue or without. */
export function gemvRows(prologue: "norm" | "gatedSilu" | undefined): number {
  // Every group computes the gate of all of x again: two rows are the most that
  // this is worth.
  return prologue === "gatedSilu" ? 2 : 8;
}

/**
 * Threads that share a row in kernels that reduce it.
 *
 * @param gpu The device.
 * @returns A power of two.
 */
export function reductionThreads(gpu: Gpu): number {
  // A barrier costs a software adapter a switch for each thread.
  return gpu.facts.software ? 16 : 256;
}
