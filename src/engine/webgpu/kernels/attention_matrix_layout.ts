// How decode attention by subgroup matrices lies on subgroups and in workgroup
// memory; see attention_decode_matrix.wgsl.

import type { Gpu } from "../device/gpu.ts";
import type { AttentionDecodeArgs } from "./attention_decode.ts";

/** Of a workgroup. */
export const THREADS = 256;

const SUBGROUPS = 8;

/** Matrices of a subgroup's sums: more would not stay in registers. */
const MOST_SUMS = 8;

/** Heads up to which the other forms have less to compute. */
const FEW_HEADS = 8;

/** How the work is cut. */
export interface MatrixDecodeShape {
  /** Of a tile: 16 or 32. */
  readonly tokens: 16 | 32;
  /** Tiles in workgroup memory: 2 where the scores of one are computed beside the values of the last. */
  readonly buffers: 1 | 2;
  /** Blocks of 16 heads of a workgroup. */
  readonly rowBlocks: 1 | 2;
  /** Whether no scores are computed past the last tile; with two buffers that is a branch between scores and values. */
  readonly skips: boolean;
  /** Shares of the keys. */
  readonly splits: number;
  /** Columns of a row that lie in workgroup memory at a time, a multiple of 128; of 16 tokens, one buffer and one block of heads. @default all */
  readonly chunk?: number;
  /** Workgroups that share the chunks of the values, where rows come in chunks. @default 1 */
  readonly valueBlocks?: number;
}

/** What decides whether a device can attend by subgroup matrices. */
export type MatrixDecodeSizes = Pick<
  AttentionDecodeArgs,
  | "heads"
  | "keyGroups"
  | "valueGroups"
  | "firstWidth"
  | "secondWidth"
  | "valueFrom"
  | "valueWidth"
>;

/** Matrices along each side of the work. */
export interface MatrixLayout {
  /** Matrices of values that a subgroup takes. */
  readonly columns: number;
  /** Slices of a key's columns, each a subgroup's. */
  readonly slices: number;
  /** Matrices of a slice. */
  readonly fragments: number;
  /** Columns of a tile's row, without its padding. */
  readonly wide: number;
  readonly tileRows: number;
  /** Of workgroup memory. */
  readonly bytes: number;
}

/**
 * Lays the work out.
 *
 * @param sizes Widths.
 * @param shape The shape.
 */
export function matrixLayout(
  { firstWidth, secondWidth }: MatrixDecodeSizes,
  { tokens, buffers, rowBlocks }: MatrixDecodeShape,
): MatrixLayout {
  const heads = 16 * rowBlocks;
  const slices = SUBGROUPS / rowBlocks / (tokens / 16);
  const fragments = Math.ceil((firstWidth + secondWidth) / 16 / slices);
  const wide = fragments * slices * 16;
  // The query lies there first.
  const tileRows = Math.max(tokens * buffers, heads);
  return {
    columns: Math.ceil(firstWidth / 16 / SUBGROUPS),
    slices,
    fragments,
    wide,
    tileRows,
    bytes: 2 * tileRows * (wide + 8) + 4 * slices * heads * tokens +
      2 * heads * (tokens + 8) + 4 * heads + 4,
  };
}

/** Chunks of rows that pass through workgroup memory. */
export interface ChunkLayout {
  /** Columns of a chunk. */
  readonly chunk: number;
  /** Chunks of a row, and those whose values a workgroup takes. */
  readonly chunks: number;
  readonly outChunks: number;
  readonly valueBlocks: number;
  /** Matrices of a chunk that are a subgroup's. */
  readonly fragments: number;
  /** Of workgroup memory. */
  readonly bytes: number;
}

/**
 * Lays the work out where rows come in chunks; see attention_decode_wide.wgsl.
 *
 * @param sizes Widths.
 * @param chunk Columns of a chunk.
 * @param valueBlocks Workgroups that share the chunks of the values.
 */
export function chunkLayout(
  { firstWidth, secondWidth }: MatrixDecodeSizes,
  chunk: number,
  valueBlocks = 1,
): ChunkLayout {
  const valueChunks = Math.ceil(firstWidth / chunk);
  return {
    chunk,
    chunks: Math.ceil((firstWidth + secondWidth) / chunk),
    outChunks: Math.ceil(valueChunks / valueBlocks),
    valueBlocks,
    fragments: chunk / 16 / SUBGROUPS,
    // The tile, scores, weights, factors, and whether one has grown.
    bytes: 2 * 16 * (chunk + 8) + 16 * 512 + 16 * 48 + 4 * 16 + 4,
  };
}

/** Registers of a thread that queries, sums and what is on its way may take: with more it spills. */
const MOST_CHUNK_REGISTERS = 184;

function fitsChunks(
  sizes: MatrixDecodeSizes,
  shape: MatrixDecodeShape,
  memory: number,
): boolean {
  const { chunk = 0, valueBlocks = 1, tokens, buffers, rowBlocks } = shape;
  if (chunk % (16 * SUBGROUPS) !== 0 || chunk <= 0) return false;
  const { chunks, outChunks, fragments, bytes } = chunkLayout(
    sizes,
    chunk,
    valueBlocks,
  );
  // A matrix of halves is 4 registers a lane, one of sums 8.
  const registers = fragments * (4 * chunks + 8 * outChunks + 4);
  return tokens === 16 && buffers === 1 && rowBlocks === 1 &&
    registers <= MOST_CHUNK_REGISTERS && bytes <= memory;
}

/**
 * Whether a device attends by subgroup matrices in a shape.
 *
 * @param gpu The device.
 * @param sizes Heads and widths.
 * @param shape The shape; its splits do not matter.
 */
export function fitsMatrixDecode(
  gpu: Gpu,
  sizes: MatrixDecodeSizes,
  shape: MatrixDecodeShape,
): boolean {
  const { features, facts } = gpu;
  const { limits } = facts;
  return features.subgroupMatrix && features.f16 && features.subgroups &&
    facts.subgroupSize === THREADS / SUBGROUPS &&
    limits.maxComputeInvocationsPerWorkgroup >= THREADS &&
    sizes.heads > FEW_HEADS && fitsWidths(sizes, shape) &&
    (shape.chunk === undefined
      ? matrixLayout(sizes, shape).bytes <=
        limits.maxComputeWorkgroupStorageSize
      : fitsChunks(sizes, shape, limits.maxComputeWorkgroupStorageSize));
}

/**
 * Whether all heads read one latent row, and there are registers for its sums.
 *
 * @param sizes Heads and widths.
 * @param shape The shape.
 */
export function fitsWidths(
  sizes: MatrixDecodeSizes,
  shape: MatrixDecodeShape,
): boolean {
  const { firstWidth, secondWidth } = sizes;
  return sizes.keyGroups === 1 && sizes.valueGroups === 1 &&
    sizes.valueFrom === "first" && sizes.valueWidth === firstWidth &&
    secondWidth > 0 && firstWidth % 8 === 0 && secondWidth % 8 === 0 &&
    (shape.chunk !== undefined ||
      shape.rowBlocks * matrixLayout(sizes, shape).columns <= MOST_SUMS);
}
