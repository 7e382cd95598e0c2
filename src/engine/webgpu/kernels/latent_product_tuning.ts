// Tiles of latent attention's products by subgroup matrices, by device and batch.

import type { Gpu } from "../device/gpu.ts";
import type { AbsorbStoreArgs } from "./absorb_store.ts";
import type { AttentionMergeArgs } from "./attention_merge.ts";
import { type MatrixTile, matrixTile } from "./gemm_tile.ts";
import { fitsProduct, takesKeys, takesValues } from "./latent_product.ts";

/** Sequences from which matrices of 16 rows are worth it. */
const LEAST_ROWS = 9;

/**
 * The tile of queries into the latent space, where a device and the views allow it.
 *
 * @param gpu The device.
 * @param args As absorbStore() takes them.
 */
export function keyTile(
  gpu: Gpu,
  args: AbsorbStoreArgs,
): MatrixTile | undefined {
  if (args.rows < LEAST_ROWS || !takesKeys(args)) return undefined;
  const nope = args.query.width - args.query.rotaryWidth;
  return keyTiles(args.rows).find((tile) =>
    fitsProduct(gpu, tile, { keys: true, k: nope, splits: 1, means: true })
  );
}

/**
 * The tile of values out of the latent space, where a device and the views allow it.
 *
 * @param gpu The device.
 * @param args As attentionMerge() takes them.
 */
export function valueTile(
  gpu: Gpu,
  args: AttentionMergeArgs,
): MatrixTile | undefined {
  const { batch, up, width, splits, means = false } = args;
  if (batch < LEAST_ROWS || up === undefined || !takesValues(up, width)) {
    return undefined;
  }
  return valueTiles(batch).find((tile) =>
    fitsProduct(gpu, tile, { keys: false, k: width, splits, means })
  );
}

/** Tiles of queries into the latent space that could be the fastest, the likeliest first. */
export function keyTiles(rows: number): MatrixTile[] {
  const small = [
    matrixTile(32, 128, 64, 2, 4),
    matrixTile(32, 64, 128, 2, 2),
    matrixTile(32, 128, 64, 1, 4),
    matrixTile(16, 128, 64, 1, 4),
  ];
  if (rows <= 16) return [...small].sort((a, b) => a.rows - b.rows);
  if (rows <= 32) return small;
  return [
    matrixTile(64, 128, 64, 2, 4),
    matrixTile(64, 64, 64, 2, 2),
    matrixTile(64, 64, 128, 4, 2),
    ...small,
  ];
}

/** Tiles of values out of the latent space that could be the fastest, the likeliest first. */
export function valueTiles(rows: number): MatrixTile[] {
  const small = [
    matrixTile(32, 32, 64, 2, 2),
    matrixTile(32, 32, 128, 2, 2),
    matrixTile(16, 64, 128, 1, 4),
    matrixTile(32, 64, 64, 2, 4),
  ];
  if (rows <= 16) return [...small].sort((a, b) => a.rows - b.rows);
  if (rows <= 32) return small;
  const wide = matrixTile(64, 64, 64, 2, 4);
  const deep = matrixTile(32, 64, 128, 2, 4);
  if (rows <= 64) {
    return [matrixTile(32, 64, 64, 2, 4), wide, deep, ...small.slice(0, 3)];
  }
  return [
    ...rows <= 128 ? [] : [matrixTile(64, 128, 64, 2, 4)],
    wide,
    matrixTile(64, 64, 128, 4, 2),
    matrixTile(128, 64, 64, 4, 2),
    deep,
    ...small,
  ];
}
