// Tiles of decode attention in latent space by device and size.

import type { Gpu } from "../device/gpu.ts";

/** How a workgroup of attentionDecodeTile() cuts its work; see attention_decode_tile.wgsl. */
export interface TileDecodeShape {
  /** Heads of a workgroup: a multiple of 4. */
  readonly heads: number;
  /** Rounds of tokens in a tile; a round is a quarter of a subgroup's lanes. */
  readonly rounds: number;
  /** Tiles in workgroup memory, 1 or 2: with two there is a barrier less. */
  readonly buffers: number;
  /** Whether f16 becomes f32 once, on the way to workgroup memory, not at each use. */
  readonly widened: boolean;
}

/**
 * Tiles that could be the fastest on a device.
 *
 * @param gpu The device.
 * @returns Shapes, not all of which fit every width and workgroup memory.
 */
export function tileDecodeCandidates(gpu: Gpu): TileDecodeShape[] {
  if (gpu.facts.software) return [tileDecodeShape(8, 2, 1, false)];
  return [
    tileDecodeShape(32, 2, 1, true),
    tileDecodeShape(32, 2, 1, false),
    tileDecodeShape(32, 2, 2, false),
    tileDecodeShape(32, 1, 2, true),
    tileDecodeShape(16, 2, 1, true),
    tileDecodeShape(16, 2, 1, false),
    tileDecodeShape(16, 1, 1, true),
    tileDecodeShape(16, 2, 2, false),
    tileDecodeShape(8, 1, 1, true),
    tileDecodeShape(8, 2, 1, false),
  ];
}

/** A tile of so many heads and rounds. */
export function tileDecodeShape(
  heads: number,
  rounds: number,
  buffers: number,
  widened: boolean,
): TileDecodeShape {
  return { heads, rounds, buffers, widened };
}

/** A tile in words, for labels of cases. */
export function describeTile(shape: TileDecodeShape): string {
  const { heads, rounds, buffers, widened } = shape;
  return `${heads} heads, ${rounds} rounds, ${buffers} buffers, ${
    widened ? "f32" : "as cached"
  }`;
}
