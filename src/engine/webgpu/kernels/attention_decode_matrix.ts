// Decode attention in latent space by subgroup matrices: f16 cache, f32 sums.

import type { Arena, Dispatch } from "../device/gpu.ts";
import type { AttentionDecodeArgs } from "./attention_decode.ts";
import {
  chunkLayout,
  fitsWidths,
  type MatrixDecodeShape,
  matrixLayout,
  THREADS,
} from "./attention_matrix_layout.ts";
import { HALVES } from "./halves.ts";
import { dispatchOf, type KernelUse, readWgsl } from "./kernel.ts";
import { isAligned } from "./row_access.ts";
import { type Constants, fillTemplate } from "./template.ts";

const SOURCE = readWgsl("attention_decode_matrix.wgsl", import.meta.url);
const FETCH = readWgsl("attention_decode_matrix_fetch.wgsl", import.meta.url);
const PUT = readWgsl("attention_decode_matrix_put.wgsl", import.meta.url);
const SCORE = readWgsl("attention_decode_matrix_score.wgsl", import.meta.url);
const WIDE = readWgsl("attention_decode_wide.wgsl", import.meta.url);

/** How far a head's maximum may grow before its sums are scaled, as a power of two. */
const GROWTH = 8;

/**
 * The dispatch of the form that uses subgroup matrices: it writes the means of the
 * values instead of their sums, f16 [B, H, splits, v], and max and sum of each split
 * as the other forms do, the maximum being one that is up to 8 less.
 *
 * @param arena Owns the parameters.
 * @param args As attentionDecode() takes them.
 * @param work Its bytes and operations.
 * @returns The dispatch; undefined where `args.matrix` is.
 * @throws {RangeError} If views or widths do not allow it.
 */
export function attentionDecodeMatrix(
  arena: Arena,
  args: AttentionDecodeArgs,
  work: { readonly bytes: number; readonly flops: number },
): Dispatch | undefined {
  if (args.matrix === undefined) return undefined;
  return dispatchOf(arena, matrixDecodeUse(args, args.matrix, work));
}

/**
 * One pass over the cache by subgroup matrices.
 *
 * @param args As attentionDecode() takes them.
 * @param shape How the work is cut; the splits are those of `args`.
 * @param work Its bytes and operations.
 * @returns What dispatchOf() takes.
 * @throws {RangeError} If views or widths do not allow it.
 */
export function matrixDecodeUse(
  args: AttentionDecodeArgs,
  shape: MatrixDecodeShape,
  work: { readonly bytes: number; readonly flops: number },
): KernelUse {
  const { query, first, second, heads, firstWidth, secondWidth } = args;
  if (
    !fitsWidths(args, shape) || !isAligned(query, 4) ||
    [first, second].some((view) =>
      view.element !== "f16" || !isAligned(view, 8)
    )
  ) {
    throw new RangeError(
      `Cannot attend by subgroup matrices as they need one f16 latent row for all heads, of multiples of 8 columns: current widths are ${firstWidth} ${first.element} and ${secondWidth} ${second.element}`,
    );
  }
  const { source, constants } = shape.chunk === undefined
    ? wholeRows(args, shape)
    : rowsInChunks(args, shape.chunk, shape.valueBlocks);
  const vectors = "array<vec4<u32>>";
  return {
    label: "attention_decode_matrix",
    source,
    constants,
    bindings: {
      query: { buffer: query.buffer, type: "array<vec4<f32>>", access: "read" },
      first: { buffer: first.buffer, type: vectors, access: "read" },
      second: { buffer: second.buffer, type: vectors, access: "read" },
      lengths: { buffer: args.lengths, type: "array<u32>", access: "read" },
      means: { buffer: args.partial, type: "array<u32>", access: "read_write" },
      stats: {
        buffer: args.stats,
        type: "array<vec2<f32>>",
        access: "read_write",
      },
    },
    params: {
      heads: { u32: heads },
      splits: { u32: args.splits },
      capacity: { u32: args.capacity },
      // Softmax by exp2.
      scale: { f32: args.scale * Math.LOG2E },
      query_offset: { u32: query.offset },
      query_stride: { u32: query.stride },
      // In vectors of 8.
      first_offset: { u32: first.offset / 8 },
      first_line: { u32: first.stride / 8 },
      second_offset: { u32: second.offset / 8 },
      second_line: { u32: second.stride / 8 },
    },
    needs: ["f16", "subgroups", "subgroupMatrix"],
    grid: [
      args.splits,
      args.batch,
      Math.ceil(heads / (16 * shape.rowBlocks)) * (shape.valueBlocks ?? 1),
    ],
    ...work,
  };
}

/** What a kernel is made from. */
interface KernelText {
  readonly source: string;
  readonly constants: Constants;
}

function wholeRows(
  args: AttentionDecodeArgs,
  shape: MatrixDecodeShape,
): KernelText {
  const { firstWidth, secondWidth } = args;
  const { tokens, buffers, rowBlocks } = shape;
  const layout = matrixLayout(args, shape);
  const constants: Constants = {
    R: firstWidth,
    M: secondWidth,
    WIDE: layout.wide,
    HEADS: 16 * rowBlocks,
    ROW_BLOCKS: rowBlocks,
    TOKENS: tokens,
    BUFFERS: buffers,
    TILE_ROWS: layout.tileRows,
    SLICES: layout.slices,
    FRAGMENTS: layout.fragments,
    COLUMNS: layout.columns,
    FIRST_UNITS: Math.ceil(tokens * firstWidth / 8 / THREADS),
    QUERY_UNITS: Math.ceil(
      layout.tileRows * (layout.wide / 8 + 1) / THREADS,
    ),
    SECOND_UNITS: Math.ceil(tokens * secondWidth / 8 / THREADS),
    GROWTH,
    SKIPS: shape.skips,
  };
  const fetch = (at: string) => fillTemplate(FETCH, { ...constants, AT: at });
  const put = (row: string) => fillTemplate(PUT, { ...constants, ROW: row });
  const score = (row: string) =>
    fillTemplate(SCORE, { ...constants, ROW: row });
  const next = buffers === 2 ? "other" : "buffer";
  return {
    source: HALVES + SOURCE,
    constants: {
      ...constants,
      FETCH_FIRST: fetch("0u"),
      FETCH_SECOND: fetch("1u"),
      FETCH: fetch(`i + ${buffers}u`),
      PUT_FIRST: put("0u"),
      PUT: put(next),
      SCORE_FIRST: score("0u"),
      SCORE: score(next),
    },
  };
}

function rowsInChunks(
  args: AttentionDecodeArgs,
  chunk: number,
  valueBlocks?: number,
): KernelText {
  const layout = chunkLayout(args, chunk, valueBlocks);
  return {
    source: HALVES + WIDE,
    constants: {
      R: args.firstWidth,
      M: args.secondWidth,
      CHUNK: chunk,
      CHUNKS: layout.chunks,
      OUT_CHUNKS: layout.outChunks,
      VALUE_BLOCKS: layout.valueBlocks,
      FRAGMENTS: layout.fragments,
      GROWTH,
    },
  };
}
