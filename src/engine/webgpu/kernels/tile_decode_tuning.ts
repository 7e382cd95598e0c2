// Tiles of decode attention in latent space by device and size.

import type { Gpu } from "../device/gpu.ts";
import { tuned } from "./tuned.ts";
import { attentionKey } from "./tuning_keys.ts";

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
  /** Whether f16 is multiplied in halves: queries and weights are rounded, sums in f32 are of some products. @default false */
  readonly halves?: boolean;
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
    ...HALF_TILES,
  ];
}

/** Tiles that multiply in halves. */
export const HALF_TILES: readonly TileDecodeShape[] = [
  halfTile(32, 2, 1),
  halfTile(32, 2, 2),
  halfTile(32, 3, 1),
  halfTile(32, 1, 2),
  halfTile(16, 2, 1),
  halfTile(16, 2, 2),
  halfTile(16, 1, 2),
  halfTile(8, 2, 1),
];

// Of an H100, in microseconds: what a token takes a processor for 32 heads, what
// beginning and ending take, and what each part of 32 heads takes the merge.
const TOKEN_TIME = 0.28;
const START_TIME = 4;
const MERGE_TIME = 0.03;

// Workgroups of 32 heads that work at once: an H100 has as many processors.
const PROCESSORS = 132;

/** Fewer tokens of 32 heads than this leave a large GPU's processors hardly two tiles each. */
const MANY_TOKENS = 4096;

/** Decode attention of a batch. */
export interface TileDecodeSize {
  readonly batch: number;
  readonly heads: number;
  /** Tokens that the cache has room for. */
  readonly capacity: number;
}

/**
 * The tile of decode attention in latent space.
 *
 * @param gpu The device.
 * @param size The batch.
 * @returns The tile and its splits; undefined where another form is the faster.
 */
export function tileDecode(
  gpu: Gpu,
  size: TileDecodeSize & { readonly valueWidth: number },
): TileDecodeShape & { readonly splits: number } | undefined {
  const { batch, heads, capacity, valueWidth: width } = size;
  const context = capacity;
  const key = attentionKey({
    kind: "mla",
    heads,
    groups: 1,
    width,
    batch,
    context,
  });
  const found = tuned<TileDecodeShape & { readonly splits: number }>(
    gpu,
    "attention_decode_tile",
    key,
  );
  if (found !== undefined) return found.splits > 0 ? found : undefined;
  const tokens = batch * capacity * heads / 32;
  if (gpu.facts.software || tokens < MANY_TOKENS) return undefined;
  const shape = tileDecodeShape(32, 2, 1, true);
  return { ...shape, splits: tileSplits(size, shape) };
}

/**
 * Shares of the keys that take the least time together, their merge included.
 *
 * @param size The batch.
 * @param shape The tile.
 */
export function tileSplits(
  { batch, heads, capacity }: TileDecodeSize,
  shape: TileDecodeShape,
): number {
  const tokens = 8 * shape.rounds;
  const groups = batch * Math.ceil(heads / shape.heads);
  const most = Math.min(PROCESSORS, Math.ceil(capacity / tokens));
  let best = 1;
  let least = Infinity;
  for (let splits = 1; splits <= most; splits++) {
    const share = Math.ceil(capacity / splits / tokens) * tokens;
    const waves = Math.ceil(groups * splits * shape.heads / 32 / PROCESSORS);
    const merge = batch * splits * heads / 32 * MERGE_TIME;
    const time = waves * (share * TOKEN_TIME + START_TIME) +
      (splits === 1 ? 0 : merge);
    if (time < least) [best, least] = [splits, time];
  }
  return best;
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

/** A tile of so many heads and rounds that multiplies in halves. */
export function halfTile(
  heads: number,
  rounds: number,
  buffers: number,
): TileDecodeShape {
  return { heads, rounds, buffers, widened: false, halves: true };
}

/** A tile in words, for labels of cases. */
export function describeTile(shape: TileDecodeShape): string {
  const { heads, rounds, buffers, widened, halves } = shape;
  return `${heads} heads, ${rounds} rounds, ${buffers} buffers, ${
    halves ? "in halves" : widened ? "f32" : "as cached"
  }`;
}
