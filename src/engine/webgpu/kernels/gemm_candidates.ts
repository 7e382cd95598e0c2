// Tiles of gemm() to time, for devices that gemm_tuning.ts does not know.

import { HALVES, registerSplits, WARP } from "./gemm_register_tuning.ts";
import { matrixTiles } from "./gemm_matrix_tuning.ts";
import {
  type GemmTile,
  matrixTile,
  registerTile,
  workgroups,
} from "./gemm_tile.ts";

// Workgroups that fill a large GPU once.
const FULL = 128;

/** Up to so many rows, tiles of matrices are searched by what they should cost. */
export const FEW_ROWS = 512;

// Numbers of slices of a register tile to time.
const REGISTER_SPLITS = 3;

/**
 * Tiles of a kind that could be fastest for a product on some device.
 *
 * @param kind By subgroup matrices or not.
 * @param size The product.
 */
export function candidateTiles(
  kind: GemmTile["kind"],
  size: {
    readonly rows: number;
    readonly height: number;
    readonly width: number;
  },
): readonly GemmTile[] {
  const { rows, height, width } = size;
  if (kind === "matrix" && rows <= FEW_ROWS) return matrixTiles(size);
  const tiles = kind === "matrix"
    ? MATRICES
    : REGISTERS.find(({ most }) => rows <= most)!.tiles;
  return tiles.flatMap((tile) => {
    const count = workgroups(tile, rows, height);
    // Neither most of a GPU idle, nor more slices than fill it some times.
    const isUseful = (splits: number) =>
      splits === 1
        ? count >= FULL / 2 || width < 8 * tile.depth
        : count * splits >= FULL / 2 && count * splits <= 4 * FULL &&
          width >= 4 * tile.depth * splits;
    const splits = tile.kind === "matrix"
      ? [1, 2, 3, 4, 6, 8].filter(isUseful)
      : registerSplits({ tile, speed: 30 }, size).slice(0, REGISTER_SPLITS);
    return splits.map((splits) => splits === 1 ? tile : { ...tile, splits });
  });
}

/** Tiles that could be fastest up to so many rows of x. */
interface CandidateList {
  readonly most: number;
  readonly tiles: readonly GemmTile[];
}

const DOUBLE = { buffers: 2 } as const;

const MATRICES: readonly GemmTile[] = [
  matrixTile(128, 64, 64, 4, 2),
  matrixTile(128, 128, 64, 2, 4),
  matrixTile(128, 128, 32, 2, 4, DOUBLE),
  matrixTile(128, 256, 32, 2, 4),
  matrixTile(256, 64, 64, 4, 2),
  matrixTile(256, 128, 32, 4, 2),
  matrixTile(256, 128, 32, 2, 4),
];

const REGISTERS: readonly CandidateList[] = [
  {
    most: 16,
    tiles: [
      registerTile(16, 128, 32, 4, 8, WARP),
      registerTile(16, 128, 32, 8, 8, WARP),
      registerTile(16, 256, 16, 8, 8, WARP),
      registerTile(16, 256, 32, 8, 8, WARP),
      registerTile(16, 256, 32, 8, 8, HALVES),
      registerTile(16, 256, 64, 8, 8, HALVES),
      registerTile(16, 256, 32, 8, 4, HALVES),
    ],
  },
  {
    most: 32,
    tiles: [
      registerTile(32, 128, 32, 4, 8, WARP),
      registerTile(32, 128, 32, 8, 8, WARP),
      registerTile(32, 256, 16, 8, 8, WARP),
      registerTile(32, 256, 32, 8, 8, WARP),
      registerTile(32, 256, 32, 8, 4, WARP),
      registerTile(32, 128, 64, 8, 8, HALVES),
      registerTile(32, 256, 32, 8, 8, HALVES),
      registerTile(32, 256, 32, 8, 8, { ...WARP, chain: 32 }),
      registerTile(32, 256, 64, 8, 8, HALVES),
      registerTile(32, 256, 32, 8, 4, HALVES),
      registerTile(32, 256, 64, 4, 8, HALVES),
    ],
  },
  {
    most: 64,
    tiles: [
      registerTile(64, 128, 16, 8, 8, WARP),
      registerTile(64, 128, 32, 8, 8, WARP),
      registerTile(64, 64, 32, 8, 8, WARP),
      registerTile(64, 128, 32, 8, 8, HALVES),
      registerTile(64, 128, 64, 8, 8, HALVES),
      registerTile(64, 256, 32, 8, 8, HALVES),
      registerTile(64, 128, 32, 8, 4, HALVES),
    ],
  },
  {
    most: Infinity,
    tiles: [
      registerTile(64, 128, 32, 8, 8, WARP),
      registerTile(128, 128, 8, 8, 8, WARP),
      registerTile(128, 128, 16, 8, 8, WARP),
      registerTile(128, 128, 32, 8, 8, WARP),
      registerTile(128, 128, 32, 8, 8, HALVES),
      registerTile(128, 128, 64, 8, 8, HALVES),
      registerTile(64, 256, 32, 8, 8, HALVES),
    ],
  },
];
