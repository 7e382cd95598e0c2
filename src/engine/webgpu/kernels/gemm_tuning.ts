// Tiles of gemm() by device and size: those that were found fastest on this adapter,
// else defaults, which are what an H100 likes. Software adapters compile and run
// small tiles.

import type { Gpu } from "../device/gpu.ts";
import { candidateTiles, FEW_ROWS } from "./gemm_candidates.ts";
import { matrixTiles } from "./gemm_matrix_tuning.ts";
import {
  registerSplits,
  registerTiles,
  registerTime,
  SMALL_TILES,
} from "./gemm_register_tuning.ts";
import {
  fitsTile,
  type GemmTile,
  hasMatrices,
  matrixTile,
  registerTile,
  workgroups,
} from "./gemm_tile.ts";
import type { Element, GpuMatrix } from "./kernel.ts";
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
  /** Of x: products of halves are for those who hand in halves. @default "f32" */
  readonly input?: Element;
  /** Whether rows of W make pairs, of which one number is stored. @default false */
  readonly gated?: boolean;
  /** Whether the result is normed too, which the sum of slices does on its way. @default false */
  readonly normed?: boolean;
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
  const found = tuned<GemmTile>(gpu, "gemm", gemmKey(size));
  const halves = inHalves(gpu, size);
  const known = found && !halves ? withoutChains(found) : found;
  const { gated, rows } = size;
  if (known !== undefined && fitsTile(gpu, known, gated)) return known;
  const matrices = size.element === "f16" && hasMatrices(gpu);
  if (matrices && rows <= FEW_ROWS) {
    const tile = matrixTiles(size).find((tile) => fitsTile(gpu, tile, gated));
    if (tile !== undefined) return tile;
  }
  const rated = matrices ? LARGE_TILES : registerTiles(rows);
  const fitting = rated.filter(({ tile }) => fitsTile(gpu, tile, gated));
  const [best] = (fitting.length > 0 ? fitting : SMALL_TILES)
    .map((rated) => ({ ...rated, splits: splitsFor(rated, size) }))
    .toSorted((a, b) => cost(a, size) - cost(b, size));
  const tile = fitsTile(gpu, best!.tile, gated) ? best!.tile : smallest;
  return best!.splits > 1 ? { ...tile, splits: best!.splits } : tile;
}

/** Whether products may be added up in halves: what is multiplied is halves. */
function inHalves({ features }: Gpu, { element, input }: GemmSize): boolean {
  return features.f16 && element === "f16" && input === "f16";
}

function withoutChains(tile: GemmTile): GemmTile {
  if (tile.kind === "matrix") return tile;
  const { chain: _, ...rest } = tile;
  return rest;
}

/**
 * Tiles that could be fastest for a product on a device, for `deno task tune`.
 *
 * @param gpu The device.
 * @param size The product.
 */
export function gemmCandidates(gpu: Gpu, size: GemmSize): GemmTile[] {
  const matrices = size.element === "f16" && hasMatrices(gpu);
  const halves = inHalves(gpu, size);
  return candidateTiles(matrices ? "matrix" : "registers", size)
    .filter((tile) =>
      fitsTile(gpu, tile, size.gated) &&
      (tile.kind === "matrix" || halves || tile.chain === undefined)
    );
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

/**
 * Whether gemm() can store silu(gate)·up of a weight that stacks the two.
 *
 * @param gpu The device.
 * @param weight The weight.
 */
export function gemmGates(gpu: Gpu, weight: GpuMatrix): boolean {
  return gemmInput(gpu, weight.element) === "f16" &&
    weight.parts.length === 1 && weight.rows % 8 === 0;
}

function splitsFor(rated: Rated, size: GemmSize): number {
  const { tile } = rated;
  const { rows, height, width } = size;
  if (tile.kind === "registers") {
    return registerSplits({ tile, speed: rated.speed }, size)[0]!;
  }
  // A slice that is too short never gets up to speed.
  const useful = Math.floor(width / tile.depth / 4);
  const wanted = Math.floor(BUSY / workgroups(tile, rows, height));
  return Math.max(1, Math.min(wanted, useful, MOST_SPLITS));
}

/** A tile and how fast it multiplies where every workgroup has its own processor: TFLOPS of an H100. */
interface Rated {
  readonly tile: GemmTile;
  readonly speed: number;
}

interface Sliced extends Rated {
  readonly splits: number;
}

// Gated, they divide evenly too.
const LARGE_TILES: readonly Rated[] = [
  { tile: matrixTile(64, 64, 64, 2, 2), speed: 110 },
  { tile: matrixTile(128, 64, 64, 4, 2), speed: 165 },
  { tile: matrixTile(128, 128, 64, 2, 4), speed: 210 },
  { tile: matrixTile(256, 128, 32, 4, 2), speed: 228 },
];

/** Time of a product where workgroups take turns on a GPU that FULL of them fill. */
function cost(sliced: Sliced, size: GemmSize): number {
  const { tile, speed, splits } = sliced;
  if (tile.kind === "registers") {
    return registerTime({ tile, speed }, splits, size);
  }
  const count = workgroups(tile, size.rows, size.height) * splits;
  return Math.ceil(count / FULL) * tile.rows * tile.columns / (splits * speed);
}
