// Shapes of gemv() by device and size: those that were found fastest on this
// adapter, else defaults, which are what an H100 likes. And the rows of x up to
// which it is used.

import type { Gpu } from "../device/gpu.ts";
import { hasMatrices } from "./gemm_tile.ts";
import type { Element } from "./kernel.ts";
import { tuned } from "./tuned.ts";
import { gemvKey } from "./tuning_keys.ts";

/** How gemv() spreads its work. */
export interface GemvShape {
  /** A subgroup shares a row of W; otherwise a workgroup does. Needs subgroups of one size. */
  readonly subgroups: boolean;
  /** Threads of a workgroup: a power of two, a multiple of the subgroup size. */
  readonly threads: number;
  /** Rows of W, or of its gate, that a subgroup (or workgroup) has in hand at once. */
  readonly rows: number;
  /** Loads of 8 columns of each row in flight. */
  readonly unroll: number;
}

/** What a product has on its way in or out that its shape depends on. */
export type GemvForm =
  | "plain"
  | "norm"
  | "gatedSilu"
  | "scaled"
  | "residual"
  | "gated";

/** A product of few rows. */
export interface GemvSize {
  /** Rows of x. */
  readonly columns: number;
  /** Rows of W; of [gate; up] both. */
  readonly height: number;
  /** Columns of W. */
  readonly width: number;
  readonly form: GemvForm;
}

/**
 * Whether gemv() can scale on the way in, and gate or add to the residual stream on
 * the way out.
 *
 * @param gpu The device.
 */
export function hasFusedGemv({ features, facts }: Gpu): boolean {
  return features.subgroups && facts.subgroupSize > 0;
}

/**
 * The shape of gemv() for a product.
 *
 * @param gpu The device.
 * @param size The product.
 */
export function gemvShape(gpu: Gpu, size: GemvSize): GemvShape {
  const subgroups = hasFusedGemv(gpu);
  if (gpu.facts.software) return { subgroups, threads: 64, rows: 1, unroll: 1 };
  const key = gemvKey({ ...size, prologue: size.form });
  const known = tuned<GemvShape>(gpu, "gemv", key);
  if (known !== undefined && fitsShape(gpu, known)) return known;
  if (!subgroups || isFolded(size)) return foldedShape(size, subgroups);
  const { columns, height, form } = size;
  const threads = Math.min(
    height < 2048 ? 128 : 256,
    gpu.facts.limits.maxComputeInvocationsPerWorkgroup,
  );
  const shape = (rows: number, unroll: number) => ({
    subgroups,
    threads,
    rows,
    unroll,
  });
  // Of gate and up there are two rows where others have one.
  const pairs = form === "gated";
  if (columns === 1) return shape(1, 4);
  if (columns === 2) return pairs ? shape(2, 2) : shape(1, 4);
  // More rows of x need more of W in hand for each number of x that is loaded, and
  // more registers for their sums.
  if (columns <= 4) return shape(1, 4);
  return shape(pairs ? 2 : 4, columns <= 8 ? 2 : 1);
}

/**
 * Shapes that could be fastest for a product.
 *
 * @param gpu The device.
 * @param size The product.
 * @returns At most eight that the device can run, the default first; none where subgroups vary in size.
 */
export function gemvCandidates(gpu: Gpu, size: GemvSize): GemvShape[] {
  const chosen = gemvShape(gpu, size);
  if (!chosen.subgroups) return [];
  const known = new Set<string>();
  return [chosen, ...gemvShapes(size)].filter((shape) => {
    const { threads, rows, unroll } = shape;
    const key = `${threads} ${rows} ${unroll}`;
    if (known.has(key)) return false;
    known.add(key);
    return fitsShape(gpu, shape);
  }).slice(0, 8);
}

/** Whether a device can run a shape. */
export function fitsShape(
  gpu: Gpu,
  { subgroups, threads }: Pick<GemvShape, "subgroups" | "threads">,
): boolean {
  const { subgroupSize, limits } = gpu.facts;
  return threads <= limits.maxComputeInvocationsPerWorkgroup &&
    (!subgroups || hasFusedGemv(gpu) && threads % subgroupSize === 0);
}

/**
 * Shapes by subgroups that are worth a try for a product, on whatever device.
 *
 * @param size The product.
 */
export function gemvShapes({ columns, form }: GemvSize): GemvShape[] {
  const shapes: readonly (readonly [number, number, number])[] = columns === 1
    ? form === "gated"
      ? [[256, 1, 4], [128, 1, 4], [512, 1, 4], [256, 1, 8], [256, 2, 4]]
      : [
        [256, 1, 8],
        [128, 1, 8],
        [512, 1, 8],
        [256, 1, 4],
        [512, 1, 4],
        [256, 1, 16],
        [256, 2, 4],
      ]
    : columns === 2
    ? [
      [256, 1, 4],
      [256, 1, 8],
      [256, 2, 2],
      [256, 2, 4],
      [128, 2, 4],
      [512, 2, 4],
      [256, 4, 2],
    ]
    : columns <= 4
    ? [
      [256, 1, 4],
      [256, 2, 2],
      [256, 2, 4],
      [256, 4, 1],
      [256, 4, 2],
      [128, 2, 2],
    ]
    : [
      [256, 1, 2],
      [256, 2, 1],
      [256, 2, 2],
      [256, 4, 1],
      [256, 4, 2],
      [128, 4, 1],
    ];
  return shapes.map(([threads, rows, unroll]) => ({
    subgroups: true,
    threads,
    rows,
    unroll,
  }));
}

/** Whether x is computed on the way in by every group. */
function isFolded({ form }: GemvSize): boolean {
  return form === "norm" || form === "gatedSilu";
}

function foldedShape(size: GemvSize, subgroups: boolean): GemvShape {
  const { columns, height } = size;
  // Without subgroups, sums of all threads meet in workgroup memory; and small
  // matrices need small workgroups, or some processors get none.
  const threads = !subgroups ? 64 : height < 2048 ? 128 : 256;
  if (columns === 1) {
    const rows = isFolded(size) && height >= 4096 ? 2 : 1;
    return { subgroups, threads, rows, unroll: 4 };
  }
  const rows = columns === 2 || height < 2048 ? 2 : 4;
  return { subgroups, threads, rows, unroll: columns <= 8 ? 2 : 1 };
}

/** Rows of x that gemv() is compiled for at most. */
export const MOST_GEMV_ROWS = 8;

/** Of the tables: how many rows of x gemv() is the faster for, by element type of W. */
export const GEMV_ROWS_KERNEL = "gemv_rows";

/**
 * Rows of x up to which gemv() is faster than gemm().
 *
 * @param gpu The device.
 * @param element Of W.
 */
export function gemvRows(gpu: Gpu, element: Element): number {
  const found = tuned<{ readonly rows: number }>(
    gpu,
    GEMV_ROWS_KERNEL,
    element,
  );
  if (found !== undefined) return Math.min(found.rows, MOST_GEMV_ROWS);
  // On an H100, matrices multiply 17 rows in the time in which gemv() does 7.
  return element === "f16" && !gpu.facts.software && hasMatrices(gpu)
    ? 4
    : MOST_GEMV_ROWS;
}

/**
 * Rows of x up to which linear() takes gemv() with a prologue.
 *
 * @param gpu The device.
 * @param element Of W.
 * @param prologue What happens to x on the way in.
 */
export function foldedRows(
  gpu: Gpu,
  element: Element,
  prologue: "norm" | "gatedSilu" | undefined,
): number {
  // Every group computes the gate of all of x again: two rows are the most that
  // this is worth.
  const most = prologue === "gatedSilu" ? 2 : MOST_GEMV_ROWS;
  return Math.min(most, gemvRows(gpu, element));
}

/**
 * Sequences up to which a decode step is made of gemv() alone.
 *
 * @param gpu The device.
 * @param element Of the weights.
 * @returns 0 where gemv() lacks what that takes.
 */
export function fusedStepRows(gpu: Gpu, element: Element): number {
  return hasFusedGemv(gpu) ? gemvRows(gpu, element) : 0;
}
