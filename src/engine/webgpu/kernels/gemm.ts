// x·Wᵀ for many rows of x, by the tiles that the device is best at.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { gemmMatrixUse } from "./gemm_matrix.ts";
import type { GemmPart } from "./gemm_part.ts";
import { gemmRegistersUse } from "./gemm_registers.ts";
import { gemmSumNorm, type NextNorm } from "./gemm_sum_norm.ts";
import { gemmSum, slicedPart } from "./gemm_sum.ts";
import type { GemmTile } from "./gemm_tile.ts";
import { gemmTile } from "./gemm_tuning.ts";
import {
  dispatchOf,
  type GpuMatrix,
  type KernelUse,
  type View,
} from "./kernel.ts";
import { rmsNorm } from "./rms_norm.ts";

/** What gemm() takes. */
export interface GemmArgs {
  /** [rows, columns of W]. */
  readonly x: View;
  readonly rows: number;
  readonly weight: GpuMatrix;
  /** f32[rows of W]. */
  readonly bias?: GPUBuffer;
  /** [rows, outColumn + weightRows]; another buffer than that of `x`. */
  readonly out: View;
  /** Adds to `out`. @default false */
  readonly accumulate?: boolean;
  /** Stores silu(first half)·(second half), of the rows of W, all of them in one buffer; see gemmGates(). @default false */
  readonly gated?: boolean;
  /** Stores the norm of `out` too, where it is added to. */
  readonly next?: NextNorm;
  /** Column of `out` that the first row of W goes to. @default 0 */
  readonly outColumn?: number;
  /** First row of W that is used. @default 0 */
  readonly firstWeightRow?: number;
  /** Rows of W that are used. @default all from the first */
  readonly weightRows?: number;
  /** @default what gemm_tuning.ts says */
  readonly tile?: GemmTile;
}

/** A part's dispatch on a device by a tile. */
export type PartUse = (part: GemmPart, tile: GemmTile) => KernelUse;

/**
 * out[i, outColumn + j] (+)= sum_k W[firstWeightRow + j, k]·x[i, k] + bias[firstWeightRow + j],
 * one dispatch for each part of W, and one more for each where slices of its columns
 * are summed; one more for the norm, unless the sum of slices makes it too.
 *
 * @param arena Owns the parameters, and sums of slices that all of its products share.
 * @param args Operands.
 * @returns The dispatches, in order.
 */
export function gemm(arena: Arena, args: GemmArgs): Dispatch[] {
  const { gpu } = arena;
  const { rows, weight, firstWeightRow = 0 } = args;
  const height = args.weightRows ?? weight.rows - firstWeightRow;
  const { element, columns: width } = weight;
  const { gated = false } = args;
  const input = args.x.element;
  const tile = args.tile ??
    gemmTile(gpu, {
      rows,
      height,
      width,
      element,
      input,
      gated,
      normed: args.next !== undefined,
    });
  return gemmBy(
    arena,
    args,
    tile,
    (part, tile) =>
      tile.kind === "registers"
        ? gemmRegistersUse(part, tile)
        : gemmMatrixUse(part, tile, gpu.facts.subgroupSize),
  );
}

/**
 * gemm() by dispatches of some kind.
 *
 * @param arena Owns the parameters and the sums of slices.
 * @param args Operands.
 * @param tile How the work is cut.
 * @param use Makes the dispatch of a part.
 * @returns The dispatches, in order.
 */
export function gemmBy(
  arena: Arena,
  args: GemmArgs,
  tile: GemmTile,
  use: PartUse,
): Dispatch[] {
  const { next } = args;
  let isNormed = next === undefined;
  const dispatches = gemmParts(args).flatMap((part) => {
    const sliced = slicedPart(arena, part, tile);
    if (sliced === undefined) return dispatchOf(arena, use(part, tile));
    const normed = next && gemmSumNorm(arena, part, sliced, next);
    isNormed ||= normed !== undefined;
    return [
      dispatchOf(arena, use(sliced, tile)),
      normed ?? gemmSum(arena, part, sliced),
    ];
  });
  if (isNormed) return dispatches;
  const { out: x, rows, weight: { rows: width } } = args;
  return [...dispatches, ...rmsNorm(arena, { x, rows, width, ...next! })];
}

/**
 * The product by parts of W, those left out that hold none of its rows.
 *
 * @param args Operands.
 * @returns A product for each buffer.
 */
export function gemmParts(args: GemmArgs): GemmPart[] {
  const { x, rows, weight, bias, out, outColumn = 0 } = args;
  const { firstWeightRow = 0, weightRows = weight.rows - firstWeightRow } =
    args;
  const end = firstWeightRow + weightRows;
  return weight.parts.flatMap(({ buffer, firstRow, rows: partRows }) => {
    const first = Math.max(firstWeightRow, firstRow);
    const height = Math.min(end, firstRow + partRows) - first;
    if (height <= 0) return [];
    return {
      x,
      rows,
      weight,
      buffer,
      skipped: first - firstRow,
      height,
      weightRow: first,
      ...(bias !== undefined && { bias }),
      out: { ...out, offset: out.offset + outColumn + first - firstWeightRow },
      accumulate: args.accumulate ?? false,
      ...(args.gated === true && { gated: true }),
    };
  });
}
