// Tiles of gemm() without subgroup matrices, and in how many slices they fill a large
// GPU: what an H100 likes.

import { type RegisterTile, registerTile, workgroups } from "./gemm_tile.ts";

// Of an H100: processors, and subgroups of one that hide each other's waiting.
const PROCESSORS = 132;
const SUBGROUPS = 8;

// Without matrices slices are cheap beside what they divide.
const MOST_SPLITS = 33;

// Steps of a slice at least: one that is shorter never gets up to speed.
const LEAST_STEPS = 4;

// Microseconds that a product takes for being sliced, and for a million numbers summed.
const SLICED_TIME = 3;
const SUM_TIME = 2.5;

/** Rows of x, rows and columns of W. */
interface Sides {
  readonly rows: number;
  readonly height: number;
  readonly width: number;
}

/** A tile and how fast it multiplies where processors are busy: TFLOPS of an H100. */
export interface RatedRegisters {
  readonly tile: RegisterTile;
  readonly speed: number;
}

/** Neighboring threads, 8 along W: a subgroup of 32 is 4 by 8. */
export const WARP = { across: 8 } as const;

// Products of halves take more registers, and less workgroup memory.
export const HALVES = { ...WARP, chain: 16 } as const;

/** For devices that give a workgroup little memory. */
export const SMALL_TILES: readonly RatedRegisters[] = [
  { tile: registerTile(32, 64, 16, 4, 4), speed: 15 },
];

/**
 * Tiles that a product of so many rows may take. On an H100 sums in halves are no
 * faster: they are for tune to find elsewhere.
 *
 * @param rows Rows of x.
 */
export function registerTiles(rows: number): readonly RatedRegisters[] {
  const rated = (speed: number, tile: RegisterTile) => ({ tile, speed });
  if (rows <= 16) {
    return [
      rated(25, registerTile(16, 128, 32, 4, 8, WARP)),
      rated(23, registerTile(16, 256, 16, 8, 8, WARP)),
    ];
  }
  if (rows <= 32) {
    return [
      rated(33, registerTile(32, 256, 32, 8, 4, WARP)),
      rated(30, registerTile(32, 128, 32, 8, 8, WARP)),
    ];
  }
  const small = rated(34, registerTile(64, 128, 32, 8, 8, WARP));
  if (rows <= 64) return [small];
  return [small, rated(38, registerTile(128, 128, 16, 8, 8, WARP))];
}

/**
 * Numbers of slices that a product can have, the one first that should be fastest.
 *
 * @param rated The tile.
 * @param sides The product.
 */
export function registerSplits(
  rated: RatedRegisters,
  sides: Sides,
): number[] {
  const useful = Math.floor(sides.width / rated.tile.depth / LEAST_STEPS);
  const most = Math.max(1, Math.min(useful, MOST_SPLITS));
  const time = (splits: number) => registerTime(rated, splits, sides);
  return Array.from({ length: most }, (_, i) => i + 1)
    .toSorted((a, b) => time(a) - time(b));
}

/**
 * Microseconds of a product whose workgroups share processors, the last turn's with
 * fewer of them.
 *
 * @param rated The tile.
 * @param splits Its slices.
 * @param sides The product.
 */
export function registerTime(
  { tile, speed }: RatedRegisters,
  splits: number,
  { rows, height, width }: Sides,
): number {
  const each = Math.ceil(workgroups(tile, rows, height) * splits / PROCESSORS);
  const subgroups = tile.rows / tile.threadRows *
    (tile.columns / tile.threadColumns) / 32;
  // Too few subgroups wait for memory together.
  const busy = Math.min(1, (each * subgroups + 2) / (SUBGROUPS + 2));
  const steps = Math.ceil(Math.ceil(width / tile.depth) / splits);
  const flops = 2 * tile.rows * tile.columns * tile.depth * steps * each;
  const time = flops * PROCESSORS / (speed * busy) / 1e6;
  const summed = splits * rows * height / 1e6;
  return splits === 1 ? time : time + SLICED_TIME + summed * SUM_TIME;
}
