// Shapes of gemm() and shares of decode attention by device and size. Software adapters compile and
// run small tiles; GPUs get those that were fastest on an H100.

import type { Gpu } from "../device/gpu.ts";
import type { Element } from "./kernel.ts";

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

/** Decode attention of a batch. */
export interface AttentionSize {
  readonly kind: "gqa" | "partialRope" | "mla";
  /** Sequences. */
  readonly batch: number;
  /** Tokens that the cache has room for. */
  readonly capacity: number;
  /** Heads' keys that differ: 1 in latent attention. */
  readonly groups: number;
}

// Workgroups that keep a large GPU busy; each share of the keys is one.
const BUSY_WORKGROUPS = 264;

// Keys of a share at least: below, merging costs more than it gains.
const LEAST_KEYS = 64;

const MOST_SPLITS = 128;

/**
 * Shares of the keys that decode attention works on side by side.
 *
 * @param _gpu The device.
 * @param size The batch.
 */
export function attentionSplits(
  _gpu: Gpu,
  { batch, capacity, groups }: AttentionSize,
): number {
  const wanted = Math.ceil(BUSY_WORKGROUPS / (batch * groups));
  const useful = Math.ceil(capacity / LEAST_KEYS);
  return Math.max(1, Math.min(wanted, useful, MOST_SPLITS));
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
