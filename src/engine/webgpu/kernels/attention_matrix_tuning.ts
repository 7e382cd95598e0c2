// Shapes of decode attention by subgroup matrices, by device, batch and context.

import type { Gpu } from "../device/gpu.ts";
import type { Element } from "./kernel.ts";
import {
  chunkLayout,
  fitsMatrixDecode,
  type MatrixDecodeShape,
  type MatrixDecodeSizes,
} from "./attention_matrix_layout.ts";
import { tuned } from "./tuned.ts";
import { attentionKey } from "./tuning_keys.ts";

/** Decode attention of a batch in latent space. */
export interface MatrixDecodeSize extends MatrixDecodeSizes {
  /** Of the cache: both of its parts. */
  readonly elements: readonly Element[];
  readonly batch: number;
  /** Tokens that the cache has room for. */
  readonly capacity: number;
}

/** A shape without its splits. */
export type MatrixDesign = Omit<MatrixDecodeShape, "splits">;

// Workgroups that work at once: an H100 has as many processors, each of which holds one.
const PROCESSORS = 132;

// Of an H100, in microseconds: what a token takes a workgroup, what beginning and
// ending take, and what each of its parts takes the merge.
const TOKEN_TIME = 0.066;
const START_TIME = 6;
const MERGE_TIME = 0.015;

/** Tiles of a share from which a branch costs more than a tile's scores. */
const MANY_TILES = 8;

const TOKENS_16: MatrixDesign = {
  tokens: 16,
  buffers: 2,
  rowBlocks: 2,
  skips: false,
};
const TOKENS_32: MatrixDesign = {
  tokens: 32,
  buffers: 1,
  rowBlocks: 2,
  skips: true,
};
const FEW_HEADS_16: MatrixDesign = { ...TOKENS_16, rowBlocks: 1 };
const FEW_HEADS_32: MatrixDesign = { ...TOKENS_32, rowBlocks: 1 };
// Two tiles of wide rows would not fit.
const WIDE: MatrixDesign = { ...TOKENS_32, tokens: 16, rowBlocks: 1 };

/** In order of preference: the first that fits is taken. */
export const MATRIX_DESIGNS: readonly MatrixDesign[] = [
  TOKENS_32,
  TOKENS_16,
  FEW_HEADS_32,
  FEW_HEADS_16,
  WIDE,
];

/** Chunks of a row at most. */
const MOST_CHUNKS = 8;
const MOST_VALUE_BLOCKS = 4;
/** Designs by chunks that are timed. */
const MOST_CHUNKED = 3;

/**
 * Designs for rows that pass through workgroup memory in chunks, those that compute
 * the fewest scores twice first.
 *
 * @param gpu The device.
 * @param size Heads and widths.
 */
export function chunkedDesigns(
  gpu: Gpu,
  size: MatrixDecodeSizes,
): MatrixDesign[] {
  const width = size.firstWidth + size.secondWidth;
  const designs: MatrixDesign[] = [];
  for (let valueBlocks = 1; valueBlocks <= MOST_VALUE_BLOCKS; valueBlocks++) {
    for (let chunks = 1; chunks <= MOST_CHUNKS; chunks++) {
      const chunk = 128 * Math.ceil(width / chunks / 128);
      const design: MatrixDesign = { ...WIDE, chunk, valueBlocks };
      const layout = chunkLayout(size, chunk, valueBlocks);
      // Of the workgroups that share the values none has nothing.
      const isShared = (valueBlocks - 1) * layout.outChunks * chunk <
        size.firstWidth;
      const isNew = designs.every((other) =>
        other.chunk !== chunk || other.valueBlocks !== valueBlocks
      );
      if (
        isNew && isShared &&
        fitsMatrixDecode(gpu, size, { ...design, splits: 1 })
      ) designs.push(design);
    }
  }
  return designs.slice(0, MOST_CHUNKED);
}

/**
 * The shape of decode attention by subgroup matrices, where a device can.
 *
 * @param gpu The device.
 * @param size The batch.
 * @returns The shape; undefined where the device, the widths or the cache's elements do not allow it.
 */
export function matrixDecodeShape(
  gpu: Gpu,
  size: MatrixDecodeSize,
): MatrixDecodeShape | undefined {
  if (size.elements.some((element) => element !== "f16")) return undefined;
  const { batch, capacity } = size;
  const key = attentionKey({
    kind: "mla",
    heads: size.heads,
    groups: 1,
    width: size.valueWidth,
    batch,
    context: capacity,
  });
  const found = tuned<MatrixDecodeShape>(gpu, "attention_decode_matrix", key);
  // Another form is the faster.
  if (found?.splits === 0) return undefined;
  if (found !== undefined && fitsMatrixDecode(gpu, size, found)) return found;
  const [design] = fittingDesigns(gpu, size);
  if (design === undefined) return undefined;
  const splits = matrixSplits(size, design);
  const tiles = Math.ceil(capacity / splits / design.tokens);
  return { ...design, skips: design.skips || tiles < MANY_TILES, splits };
}

/**
 * Shapes that could be fastest.
 *
 * @param gpu The device.
 * @param size The batch.
 */
export function matrixDecodeCandidates(
  gpu: Gpu,
  size: MatrixDecodeSize,
): MatrixDecodeShape[] {
  const whole = fittingDesigns(gpu, size);
  // Not the default: no device with matrices has shown yet that they are right and fast.
  const designs = whole.length > 0 ? whole : chunkedDesigns(gpu, size);
  return designs.flatMap((design) => {
    const best = matrixSplits(size, design);
    const most = Math.ceil(size.capacity / design.tokens);
    const splits = [best / 2, best, 2 * best, 4 * best]
      .map((n) => Math.max(1, Math.min(most, Math.round(n))));
    const skips = design.buffers === 2 ? [true, false] : [true];
    return [...new Set(splits)].flatMap((n) =>
      skips.map((skips) => ({ ...design, skips, splits: n }))
    );
  });
}

/**
 * Shares of the keys that take the least time together, their merge included.
 *
 * @param size The batch.
 * @param design How a share is worked on.
 */
export function matrixSplits(
  { batch, capacity, heads }: Pick<
    MatrixDecodeSize,
    "batch" | "capacity" | "heads"
  >,
  { tokens, rowBlocks, valueBlocks = 1 }: MatrixDesign,
): number {
  const groups = batch * Math.ceil(heads / (16 * rowBlocks)) * valueBlocks;
  const most = Math.min(PROCESSORS, Math.ceil(capacity / tokens));
  let best = 1;
  let least = Infinity;
  for (let splits = 1; splits <= most; splits++) {
    const workgroups = groups * splits;
    const share = Math.ceil(capacity / splits / tokens) * tokens;
    const time = Math.ceil(workgroups / PROCESSORS) *
        (share * TOKEN_TIME + START_TIME) +
      (splits === 1 ? 0 : workgroups * MERGE_TIME);
    if (time < least) [best, least] = [splits, time];
  }
  return best;
}

function fittingDesigns(gpu: Gpu, size: MatrixDecodeSize): MatrixDesign[] {
  const wanted = size.heads > 16 ? 2 : 1;
  const fitting = MATRIX_DESIGNS.filter((design) =>
    fitsMatrixDecode(gpu, size, { ...design, splits: 1 })
  );
  const best = fitting.filter(({ rowBlocks }) => rowBlocks === wanted);
  return best.length > 0 ? best : fitting;
}
