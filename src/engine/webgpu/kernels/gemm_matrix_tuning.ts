// Tiles of gemm() by subgroup matrices: what a tile costs on a large GPU, by
// arithmetic over its processors. An H100's figures.

import { type MatrixTile, matrixTile, workgroupBytes } from "./gemm_tile.ts";

/** A product of many rows, its weights in halves. */
export interface MatrixSize {
  /** Rows of x. */
  readonly rows: number;
  /** Rows and columns of W. */
  readonly height: number;
  readonly width: number;
  /** Whether rows of W make pairs, of which one number is stored. @default false */
  readonly gated?: boolean;
  /** Whether the result is normed too: by a dispatch of its own, or by that which adds slices up. @default false */
  readonly normed?: boolean;
}

const PROCESSORS = 132;
/** Of a processor: workgroup memory in bytes, registers, threads. */
const MEMORY = 227 * 1024;
const REGISTERS = 65536;
const THREADS = 2048;
/** Workgroup memory of one workgroup. */
const MOST_MEMORY = 49152;
const LANES = 32;

/** Bytes a microsecond: of memory, and of the cache that all processors share. */
const MEMORY_SPEED = 2.95e6;
const CACHE_SPEED = 4.8e6;
/** Microseconds from asking for numbers until they are there, under load. */
const LATENCY = 1.1;
/** Microseconds that a dispatch takes of itself, and one workgroup's beginning and end. */
const DISPATCH = 2.2;
const WORKGROUP = 1.2;
/** Clocks of a processor in a microsecond. */
const CLOCK = 1700;

/** Tiles a size is searched over, from the fastest down by what they should cost. */
const MOST_CANDIDATES = 20;
/** Those of the same sides. */
const MOST_ALIKE = 3;

const known = new Map<string, readonly MatrixTile[]>();

/**
 * Tiles that could be fastest for a product.
 *
 * @param size The product.
 * @returns Tiles, the one that should be fastest first.
 */
export function matrixTiles(size: MatrixSize): readonly MatrixTile[] {
  const { rows, height, width, gated = false, normed = false } = size;
  const key = [rows, height, width, gated, normed].join();
  let tiles = known.get(key);
  if (tiles === undefined) known.set(key, tiles = searched(size));
  return tiles;
}

function searched(size: MatrixSize): MatrixTile[] {
  const costs = new Map<MatrixTile, number>();
  for (const tile of allTiles(size)) costs.set(tile, matrixCost(tile, size));
  const sorted = [...costs].toSorted(([, a], [, b]) => a - b);
  const alike = new Map<string, number>();
  const tiles: MatrixTile[] = [];
  for (const [tile] of sorted) {
    const key = [tile.rows, tile.columns].join();
    const count = alike.get(key) ?? 0;
    if (count === MOST_ALIKE) continue;
    alike.set(key, count + 1);
    tiles.push(tile);
    if (tiles.length === MOST_CANDIDATES) break;
  }
  return tiles;
}

function* allTiles(size: MatrixSize): Generator<MatrixTile> {
  const { height, width, gated = false } = size;
  const step = gated ? 32 : 16;
  const most = Math.min(256, Math.ceil(height / step) * step);
  for (const rows of rowTiles(size.rows)) {
    for (let columns = Math.min(32, most); columns <= most; columns += step) {
      for (const subgroups of [4, 8, 16]) {
        const shared = arrangements(rows, columns, subgroups, gated);
        for (const [subgroupRows, subgroupColumns, subgroupDepths] of shared) {
          for (const depth of [32, 64, 128, 256]) {
            if (depth % (16 * subgroupDepths) !== 0) continue;
            for (const [buffers, ahead] of PIPELINES) {
              const tile = matrixTile(
                rows,
                columns,
                depth,
                subgroupRows,
                subgroupColumns,
                {
                  ...(subgroupDepths > 1 && { subgroupDepths }),
                  ...(buffers > 1 && { buffers }),
                  ...(ahead > 1 && { ahead }),
                },
              );
              if (workgroupBytes(tile, gated) > MOST_MEMORY) continue;
              if (resident(tile, gated) < 1) continue;
              for (const splits of SPLITS) {
                if (splits > 1 && width < 4 * depth * splits) break;
                yield splits > 1 ? { ...tile, splits } : tile;
              }
            }
          }
        }
      }
    }
  }
}

const PIPELINES = [[1, 1], [2, 1], [1, 2], [2, 2], [2, 3], [2, 4]] as const;
const SPLITS = [1, 2, 3, 4, 6, 8];

/** Heights of tiles that leave few rows of them empty. */
function rowTiles(rows: number): number[] {
  const tiles = new Set<number>();
  for (const count of [1, 2, 4]) {
    const tile = Math.ceil(rows / count / 16) * 16;
    if (tile <= 256 && (count === 1 || tile >= 64)) tiles.add(tile);
  }
  if (rows > 256) tiles.add(128).add(256);
  return [...tiles];
}

/** How subgroups can share a tile: those that read the fewest matrices for their products. */
function arrangements(
  rows: number,
  columns: number,
  subgroups: number,
  gated: boolean,
): [rows: number, columns: number, depths: number][] {
  const found: [number, number, number][] = [];
  for (const depths of [1, 2, 4, 8]) {
    if (subgroups % depths !== 0) continue;
    let best: [number, number, number] | undefined;
    for (let down = 1; down <= subgroups / depths; down *= 2) {
      const along = subgroups / depths / down;
      if (rows % (16 * down) !== 0) continue;
      if (columns % (16 * along * (gated ? 2 : 1)) !== 0) continue;
      const one: [number, number, number] = [down, along, depths];
      if (
        best === undefined ||
        reads(rows, columns, one) < reads(rows, columns, best)
      ) {
        best = one;
      }
    }
    if (best !== undefined) found.push(best);
  }
  return found;
}

/** Matrices that a subgroup reads for each that it multiplies. */
function reads(
  rows: number,
  columns: number,
  [down, along]: readonly [number, number, ...unknown[]],
): number {
  return 16 * (down / rows + along / columns);
}

/**
 * What a product should take on an H100.
 *
 * @param tile The tile.
 * @param size The product.
 * @returns Microseconds.
 */
export function matrixCost(tile: MatrixTile, size: MatrixSize): number {
  const { rows, height, width, gated = false, normed = false } = size;
  const { ahead = 1, splits = 1, subgroupDepths = 1 } = tile;
  const down = Math.ceil(rows / tile.rows);
  const along = Math.ceil(height / tile.columns);
  const count = down * along * splits;
  const most = Math.max(1, resident(tile, gated));
  const together = Math.min(count, most * PROCESSORS);
  const turns = Math.ceil(count / together);
  // Those that come last find the others gone.
  const idle = turns * together / count;
  const bytes = 2 * height * width;
  const underway = together * 2 * tile.columns * tile.depth * (ahead - 0.35);
  // Near full speed, twice as much asked for is still a little faster.
  const slowness = (MEMORY_SPEED * LATENCY / underway) ** 4;
  const stream = bytes * idle * (1 + slowness) ** 0.25 / MEMORY_SPEED;
  const cache = 2 * width * down * along * (tile.rows + tile.columns) /
    CACHE_SPEED * Math.max(1, PROCESSORS / count);
  const busiest = Math.ceil(count / PROCESSORS);
  const products = tile.rows * tile.columns * width / 4096 / splits;
  const read = reads(tile.rows, tile.columns, [
    tile.subgroupRows,
    tile.subgroupColumns,
  ]);
  const multiply = busiest * products * (4.5 + 4 * read) / CLOCK;
  const [longest = 0, second = 0, third = 0] = [stream, cache, multiply]
    .toSorted((a, b) => b - a);
  const steps = turns * width / tile.depth / splits;
  const matrices = tile.rows * tile.columns / 256 /
    (tile.subgroupRows * tile.subgroupColumns);
  const out = subgroupDepths > 1 ? 0.12 * matrices * turns : 0;
  const sum = (splits > 1 || normed ? DISPATCH : 0) +
    (splits > 1 ? 8 * splits * rows * height / CACHE_SPEED : 0);
  return longest + 0.3 * second + 0.1 * third + 0.02 * steps +
    WORKGROUP * turns + out + sum;
}

/** Workgroups that a processor holds at a time. */
function resident(tile: MatrixTile, gated: boolean): number {
  const { rows, columns, depth, ahead = 1, subgroupDepths = 1 } = tile;
  const subgroups = tile.subgroupRows * tile.subgroupColumns * subgroupDepths;
  const threads = LANES * subgroups;
  const own = 16 * (rows / 16 / tile.subgroupRows) *
    (columns / 16 / tile.subgroupColumns);
  const lines = threads / (depth / 8);
  const units = Math.ceil(rows / lines) + Math.ceil(columns / lines);
  // Sums of a matrix are 8 numbers a thread; units are 4, with an address.
  const registers = own / 2 + units * (4 * ahead + 1) +
    4 * (rows / 16 / tile.subgroupRows + 1) + 32;
  if (registers > 230) return 0;
  return Math.floor(Math.min(
    MEMORY / (workgroupBytes(tile, gated) + 1024),
    REGISTERS / threads / registers,
    THREADS / threads,
  ));
}
