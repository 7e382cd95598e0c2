// Tiles of gemm() by device and size: those that were found fastest on this adapter,
// else defaults, which are what an H100 likes. Software adapters compile and run
// small tiles.

import type { Gpu } from "../device/gpu.ts";
import {
  fitsTile,
  type GemmTile,
  hasMatrices,
  matrixTile,
  registerTile,
} from "./gemm_tile.ts";
import type { Element } from "./kernel.ts";
import { tuned } from "./tuned.ts";
import { gemmKey } from "./tuning_keys.ts";

/** A product of many rows. */
export interface GemmSize {
  /** Rows of x. */
  readonly rows: number;
  /** Rows and columns of W. */
  readonly height: number;
  readonly width: number;
  /** Of W. */
  readonly element: Element;
}

// Workgroups that fill a large GPU once, and that keep it busy.
const FULL = 128;
const BUSY = 264;

const MOST_SPLITS = 8;

/**
 * The tile of gemm() for a product.
 *
 * @param gpu The device.
 * @param size The product.
 */
export function gemmTile(gpu: Gpu, size: GemmSize): GemmTile {
  const smallest = registerTile(16, 16, 8, 4, 4);
  if (gpu.facts.software) return smallest;
  const known = tuned<GemmTile>(gpu, "gemm", gemmKey(size));
  if (known !== undefined && fitsTile(gpu, known)) return known;
  const matrices = size.element === "f16" && hasMatrices(gpu);
  const tiles = matrices ? matrixTiles(size.rows) : registerTiles(size.rows);
  const fitting = tiles.filter(({ tile }) => fitsTile(gpu, tile));
  const [best] = (fitting.length > 0 ? fitting : registerTiles(1))
    .toSorted((a, b) => cost(a, size) - cost(b, size));
  const tile = fitsTile(gpu, best!.tile) ? best!.tile : smallest;
  return { ...tile, splits: splitsFor(tile, size) };
}

/**
 * Tiles that could be fastest for a product on a device, for `deno task tune`.
 *
 * @param gpu The device.
 * @param size The product.
 */
export function gemmCandidates(gpu: Gpu, size: GemmSize): GemmTile[] {
  const matrices = size.element === "f16" && hasMatrices(gpu);
  return candidateTiles(matrices ? "matrix" : "registers", size)
    .filter((tile) => fitsTile(gpu, tile));
}

/** Tiles of a kind that could be fastest for a product on some device. */
export function candidateTiles(
  kind: GemmTile["kind"],
  { rows, height, width }: Omit<GemmSize, "element">,
): GemmTile[] {
  const lists = kind === "matrix" ? MATRICES : REGISTERS;
  const list = lists.find(({ most }) => rows <= most)!;
  return list.tiles.flatMap((tile) => {
    const count = workgroups(tile, rows, height);
    // Neither most of a GPU idle, nor more slices than fill it some times.
    const isUseful = (splits: number) =>
      splits === 1
        ? count >= FULL / 2 || width < 8 * tile.depth
        : count * splits >= FULL / 2 && count * splits <= 4 * FULL &&
          width >= 4 * tile.depth * splits;
    return [1, 2, 3, 4, 6, 8].filter(isUseful)
      .map((splits) => splits === 1 ? tile : { ...tile, splits });
  });
}

/**
 * The element type in which gemm() reads x fastest. Matrices of halves round x in
 * any case, so that f16 loses nothing.
 *
 * @param gpu The device.
 * @param weight Element type of W.
 */
export function gemmInput(gpu: Gpu, weight: Element): Element {
  const least = matrixTile(64, 64, 64, 2, 2);
  return weight === "f16" && !gpu.facts.software && fitsTile(gpu, least)
    ? "f16"
    : "f32";
}

function workgroups(tile: GemmTile, rows: number, height: number): number {
  return Math.ceil(rows / tile.rows) * Math.ceil(height / tile.columns);
}

function splitsFor(tile: GemmTile, { rows, height, width }: GemmSize): number {
  const wanted = Math.floor(BUSY / workgroups(tile, rows, height));
  // A slice that is too short never gets up to speed.
  const useful = Math.floor(width / tile.depth / 4);
  return Math.max(1, Math.min(wanted, useful, MOST_SPLITS));
}

/** A tile and how fast it multiplies where every workgroup has its own processor. */
interface Rated {
  readonly tile: GemmTile;
  readonly speed: number;
}

// Speeds are TFLOPS of an H100.
function matrixTiles(rows: number): readonly Rated[] {
  if (rows <= 16) return [{ tile: matrixTile(16, 64, 128, 1, 4), speed: 30 }];
  if (rows <= 32) return [{ tile: matrixTile(32, 64, 64, 1, 4), speed: 60 }];
  const small = { tile: matrixTile(64, 64, 64, 2, 2), speed: 110 };
  if (rows <= 64) return [small];
  return [
    small,
    { tile: matrixTile(128, 64, 64, 4, 2), speed: 165 },
    { tile: matrixTile(128, 128, 64, 2, 4), speed: 210 },
    { tile: matrixTile(256, 128, 32, 4, 2), speed: 228 },
  ];
}

function registerTiles(rows: number): readonly Rated[] {
  if (rows <= 32) return [{ tile: registerTile(32, 64, 16, 4, 4), speed: 25 }];
  const small = { tile: registerTile(64, 64, 16, 8, 4), speed: 30 };
  if (rows <= 64) return [small];
  return [small, { tile: registerTile(128, 128, 16, 8, 8), speed: 38 }];
}

/** Time of a product where workgroups take turns on a GPU that FULL of them fill. */
function cost({ tile, speed }: Rated, size: GemmSize): number {
  const splits = splitsFor(tile, size);
  const count = workgroups(tile, size.rows, size.height) * splits;
  return Math.ceil(count / FULL) * tile.rows * tile.columns / (splits * speed);
}

/** Tiles that could be fastest up to so many rows of x. */
interface CandidateList {
  readonly most: number;
  readonly tiles: readonly GemmTile[];
}

const DOUBLE = { buffers: 2 } as const;

const MATRICES: readonly CandidateList[] = [
  {
    most: 16,
    tiles: [
      matrixTile(16, 32, 128, 1, 2),
      matrixTile(16, 64, 64, 1, 4, DOUBLE),
      matrixTile(16, 64, 128, 1, 4),
      matrixTile(16, 64, 128, 1, 4, DOUBLE),
      matrixTile(16, 64, 256, 1, 4),
      matrixTile(16, 128, 64, 1, 4, DOUBLE),
      matrixTile(16, 128, 128, 1, 8),
    ],
  },
  {
    most: 32,
    tiles: [
      matrixTile(32, 32, 128, 1, 2),
      matrixTile(32, 64, 64, 1, 4),
      matrixTile(32, 64, 64, 2, 2),
      matrixTile(32, 64, 64, 1, 4, DOUBLE),
      matrixTile(32, 64, 128, 1, 4),
      matrixTile(32, 64, 128, 2, 4),
      matrixTile(32, 128, 64, 1, 4),
      matrixTile(32, 128, 64, 1, 4, DOUBLE),
      matrixTile(32, 128, 128, 1, 8),
    ],
  },
  {
    most: 64,
    tiles: [
      matrixTile(64, 32, 128, 2, 2),
      matrixTile(64, 64, 64, 2, 2),
      matrixTile(64, 64, 64, 2, 4),
      matrixTile(64, 64, 64, 2, 2, DOUBLE),
      matrixTile(64, 64, 128, 2, 4),
      matrixTile(64, 128, 64, 2, 4),
      matrixTile(64, 128, 32, 2, 4, DOUBLE),
    ],
  },
  {
    most: 128,
    tiles: [
      matrixTile(64, 64, 64, 2, 2),
      matrixTile(64, 64, 64, 2, 2, DOUBLE),
      matrixTile(64, 128, 64, 2, 4),
      matrixTile(128, 64, 64, 4, 2),
      matrixTile(128, 64, 32, 4, 2, DOUBLE),
      matrixTile(128, 128, 32, 2, 4),
      matrixTile(128, 128, 64, 2, 4),
      matrixTile(128, 128, 32, 2, 4, DOUBLE),
    ],
  },
  {
    most: 512,
    tiles: [
      matrixTile(64, 128, 64, 2, 4),
      matrixTile(128, 64, 64, 4, 2),
      matrixTile(128, 128, 64, 2, 4),
      matrixTile(128, 128, 64, 4, 2),
      matrixTile(128, 128, 32, 2, 4, DOUBLE),
      matrixTile(256, 64, 32, 4, 2),
      matrixTile(256, 128, 32, 4, 2),
    ],
  },
  {
    most: Infinity,
    tiles: [
      matrixTile(128, 64, 64, 4, 2),
      matrixTile(128, 128, 64, 2, 4),
      matrixTile(128, 128, 32, 2, 4, DOUBLE),
      matrixTile(128, 256, 32, 2, 4),
      matrixTile(256, 64, 64, 4, 2),
      matrixTile(256, 128, 32, 4, 2),
      matrixTile(256, 128, 32, 2, 4),
    ],
  },
];

const WARP = { across: 8 } as const;

const REGISTERS: readonly CandidateList[] = [
  {
    most: 16,
    tiles: [
      registerTile(16, 64, 32, 4, 4),
      registerTile(16, 128, 16, 4, 8),
      registerTile(16, 128, 32, 8, 4),
      registerTile(16, 256, 16, 8, 8),
    ],
  },
  {
    most: 32,
    tiles: [
      registerTile(32, 64, 16, 4, 4),
      registerTile(32, 64, 32, 8, 4),
      registerTile(32, 128, 16, 4, 8, WARP),
      registerTile(32, 128, 16, 8, 4, WARP),
      registerTile(32, 128, 16, 8, 8, WARP),
      registerTile(32, 256, 8, 8, 8, WARP),
      registerTile(32, 256, 16, 8, 8, WARP),
    ],
  },
  {
    most: 64,
    tiles: [
      registerTile(64, 64, 16, 8, 4),
      registerTile(64, 64, 16, 8, 8, WARP),
      registerTile(64, 128, 8, 8, 8, WARP),
      registerTile(64, 128, 16, 8, 8),
      registerTile(64, 128, 16, 8, 8, WARP),
      registerTile(64, 256, 8, 8, 8, WARP),
    ],
  },
  {
    most: Infinity,
    tiles: [
      registerTile(64, 128, 16, 8, 8, WARP),
      registerTile(128, 64, 16, 8, 8, WARP),
      registerTile(128, 128, 8, 8, 8, WARP),
      registerTile(128, 128, 16, 8, 8),
      registerTile(128, 128, 16, 8, 8, WARP),
      registerTile(128, 256, 8, 8, 16, WARP),
    ],
  },
];
