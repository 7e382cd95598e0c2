// Causal attention of many query rows by subgroup matrices: f16 keys and values,
// queries rounded to f16, f32 sums.

import type { Gpu } from "../device/gpu.ts";
import type { AttentionPrefillArgs } from "./attention_prefill.ts";
import type { AttentionViews } from "./attention_views.ts";
import { hasMatrices } from "./gemm_tile.ts";
import { HALVES } from "./halves.ts";
import {
  type Binding,
  ELEMENT_BYTES,
  type KernelUse,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned } from "./row_access.ts";
import { type Constants, fillTemplate } from "./template.ts";
import { tuned } from "./tuned.ts";

const SOURCE = readWgsl("attention_prefill_matrix.wgsl", import.meta.url);
const SCORE = readWgsl("attention_prefill_matrix_score.wgsl", import.meta.url);

/** Threads of a subgroup: a row of scores is shared by whole lanes. */
const LANES = 32;

/** How far a row's maximum may grow before its sums are scaled, as a power of two. */
const GROWTH = 8;

/** Registers that a thread may spend on queries and sums: with more it spills. */
const MOST_REGISTERS = 112;

/** How a workgroup works. */
export interface MatrixPrefillShape {
  readonly subgroups: number;
  /** Blocks of 16 query rows that a subgroup has to itself. */
  readonly rowBlocks: 1 | 2;
  /** Keys at a time. */
  readonly keys: 32 | 64;
}

/** The views and widths of attentionPrefill() that decide whether matrices can be used. */
export type MatrixPrefillViews =
  & AttentionViews
  & Pick<
    AttentionPrefillArgs,
    "value" | "values" | "valueGroupStride" | "out" | "lse" | "tileRows"
  >;

/** Columns of keys and values from which many subgroups share a tile of them best. */
const WIDE = 192;

/** In order of preference where rows are narrow: the first that fits is taken. */
export const MATRIX_PREFILL_SHAPES: readonly MatrixPrefillShape[] = [
  { subgroups: 4, rowBlocks: 1, keys: 32 },
  { subgroups: 4, rowBlocks: 2, keys: 32 },
  { subgroups: 4, rowBlocks: 1, keys: 64 },
  { subgroups: 8, rowBlocks: 1, keys: 32 },
  { subgroups: 2, rowBlocks: 2, keys: 32 },
  { subgroups: 2, rowBlocks: 2, keys: 64 },
];

/**
 * The shape of attention by subgroup matrices: a tuning table's for these widths, else
 * the first that fits.
 *
 * @param gpu The device.
 * @param views What is attended to.
 * @returns The shape; undefined where the device, the widths or the elements do not allow it.
 */
export function matrixPrefillShape(
  gpu: Gpu,
  views: MatrixPrefillViews,
): MatrixPrefillShape | undefined {
  if (!fitsViews(views)) return undefined;
  const key = `${views.nope}+${views.rotary} ${views.value}`;
  const found = tuned<MatrixPrefillShape>(gpu, "attention_prefill_matrix", key);
  const isWide = views.nope + views.rotary + views.value >= WIDE;
  const shapes = isWide
    ? MATRIX_PREFILL_SHAPES.toSorted((a, b) => b.subgroups - a.subgroups)
    : MATRIX_PREFILL_SHAPES;
  return [...(found === undefined ? [] : [found]), ...shapes]
    .find((shape) => fitsMatrixPrefill(gpu, views, shape));
}

/**
 * Shapes that could be fastest on a device.
 *
 * @param gpu The device.
 * @param views What is attended to.
 */
export function matrixPrefillCandidates(
  gpu: Gpu,
  views: MatrixPrefillViews,
): MatrixPrefillShape[] {
  if (!fitsViews(views)) return [];
  return MATRIX_PREFILL_SHAPES.filter((shape) =>
    fitsMatrixPrefill(gpu, views, shape)
  );
}

/**
 * Whether a device attends by subgroup matrices in a shape.
 *
 * @param gpu The device.
 * @param widths n, m and v.
 * @param shape The shape.
 */
export function fitsMatrixPrefill(
  gpu: Gpu,
  widths: MatrixPrefillWidths,
  shape: MatrixPrefillShape,
): boolean {
  const { subgroupSize, limits } = gpu.facts;
  const { subgroups, rowBlocks } = shape;
  const width = widths.nope + widths.rotary;
  const registers = rowBlocks * (width / 4 + widths.value / 2);
  return hasMatrices(gpu) && subgroupSize === LANES &&
    registers <= MOST_REGISTERS &&
    subgroups * LANES <= limits.maxComputeInvocationsPerWorkgroup &&
    matrixPrefillBytes(widths, shape) <= limits.maxComputeWorkgroupStorageSize;
}

/** n, m and v. */
export type MatrixPrefillWidths = Pick<
  MatrixPrefillViews,
  "nope" | "rotary" | "value"
>;

/**
 * Bytes of workgroup memory.
 *
 * @param widths n, m and v.
 * @param shape The shape.
 */
export function matrixPrefillBytes(
  widths: MatrixPrefillWidths,
  shape: MatrixPrefillShape,
): number {
  const { keys } = shape;
  const { rows, width, keyLines, valueLines } = sizesOf(widths, shape);
  return 2 * keyLines * (width + 8) + 2 * valueLines * (widths.value + 8) +
    2 * rows * (keys + 8) + 4 * rows * (keys + 4) + 4;
}

/** Whether widths are whole matrices, and rows of halves whole vectors. */
function fitsViews(views: MatrixPrefillViews): boolean {
  const { query, key, rotaryKey, values, out, nope, rotary, value } = views;
  const isHalves = (view: View) => view.element === "f16" && isAligned(view, 8);
  return (nope + rotary) % 16 === 0 && value % 16 === 0 && value > 0 &&
    [nope, rotary, views.keyGroupStride, views.valueGroupStride]
      .every((n) => n % 8 === 0) &&
    query.element === "f32" && isAligned(query, 4) &&
    views.queryNope % 4 === 0 && views.queryRotary % 4 === 0 &&
    isHalves(key) && isHalves(values) &&
    (rotary === 0 || rotaryKey !== undefined && isHalves(rotaryKey)) &&
    isAligned(out, 4) && views.lse === undefined;
}

function sizesOf(
  { nope, rotary, value }: MatrixPrefillWidths,
  { subgroups, rowBlocks, keys }: MatrixPrefillShape,
) {
  const threads = subgroups * LANES;
  const width = nope + rotary;
  const keyUnits = Math.ceil(keys * width / 8 / threads);
  const valueUnits = Math.ceil(keys * value / 8 / threads);
  return {
    threads,
    width,
    rows: 16 * rowBlocks * subgroups,
    keyUnits,
    valueUnits,
    // There is room for what the last threads have too many.
    keyLines: Math.ceil(8 * keyUnits * threads / width),
    valueLines: Math.ceil(8 * valueUnits * threads / value),
  };
}

/**
 * One pass over keys and values by subgroup matrices.
 *
 * @param args As attentionPrefill() takes them.
 * @param shape How a workgroup works.
 * @returns What dispatchOf() takes.
 * @throws {RangeError} If views or widths do not allow it.
 */
export function matrixPrefillUse(
  args: AttentionPrefillArgs,
  shape: MatrixPrefillShape,
): KernelUse {
  const { query, key, rotaryKey, values, out, nope, rotary, value } = args;
  if (!fitsViews(args)) {
    throw new RangeError(
      `Cannot attend by subgroup matrices as they need f16 keys and values of multiples of 16 columns: current widths are ${nope} + ${rotary} ${key.element} and ${value} ${values.element}`,
    );
  }
  const { subgroups, rowBlocks, keys } = shape;
  const sizes = sizesOf(args, shape);
  const { rows, width, threads } = sizes;
  // Lanes that share a row in softmax.
  const sharers = LANES / (16 * rowBlocks);
  const constants: Constants = {
    SUBGROUPS: subgroups,
    ROW_BLOCKS: rowBlocks,
    OWN_ROWS: 16 * rowBlocks,
    ROWS: rows,
    THREADS: threads,
    KEYS: keys,
    N: nope,
    M: rotary,
    W: width,
    V: value,
    KEY_UNITS: sizes.keyUnits,
    VALUE_UNITS: sizes.valueUnits,
    KEY_LINES: sizes.keyLines,
    VALUE_LINES: sizes.valueLines,
    QUERY_CHUNKS: Math.ceil(width / keys),
    VALUE_CHUNKS: Math.ceil(value / keys),
    SHARERS: sharers,
    // Of 16 columns each.
    SHARES: keys / 16 / sharers,
    GROWTH,
    OUT: out.element,
  };
  const blocksPerTile = Math.ceil(args.tileRows / rows);
  const blocks = args.tileCount * blocksPerTile;
  const halves = ({ buffer }: View): Binding => ({
    buffer,
    type: "array<vec4<u32>>",
    access: "read",
  });
  return {
    label: "attention_prefill_matrix",
    source: HALVES + SOURCE,
    constants: { ...constants, SCORE: fillTemplate(SCORE, constants) },
    bindings: {
      query: { buffer: query.buffer, type: "array<vec4<f32>>", access: "read" },
      key: halves(key),
      ...(rotaryKey === undefined || rotary === 0
        ? {}
        : { rotary_key: halves(rotaryKey) }),
      values: halves(values),
      tiles: { buffer: args.tiles, type: "array<u32>", access: "read" },
      out: {
        buffer: out.buffer,
        type: `array<vec4<${out.element}>>`,
        access: "read_write",
      },
    },
    params: {
      heads: { u32: args.heads },
      groups: { u32: args.groups },
      capacity: { u32: args.capacity },
      key_capacity: { u32: args.keyCapacity ?? args.capacity },
      value_capacity: { u32: args.valueCapacity ?? args.capacity },
      // Softmax by exp2.
      scale: { f32: args.scale * Math.LOG2E },
      query_offset: { u32: query.offset },
      query_stride: { u32: query.stride },
      query_nope: { u32: args.queryNope },
      query_rotary: { u32: args.queryRotary },
      key_offset: { u32: key.offset },
      key_stride: { u32: key.stride },
      key_group_stride: { u32: args.keyGroupStride },
      rotary_offset: { u32: rotaryKey?.offset ?? 0 },
      rotary_stride: { u32: rotaryKey?.stride ?? 0 },
      value_offset: { u32: values.offset },
      value_stride: { u32: values.stride },
      value_group_stride: { u32: args.valueGroupStride },
      out_offset: { u32: out.offset },
      out_stride: { u32: out.stride },
      blocks: { u32: blocks },
      blocks_per_tile: { u32: blocksPerTile },
    },
    needs: ["f16", "subgroups", "subgroupMatrix"],
    grid: [args.heads, blocks, 1],
    bytes: prefillBytes(args),
    flops: 2 * (args.scores ?? 0) * args.heads * (width + value),
  };
}

/** Bytes that attention moves at least: queries in, heads out, keys and values of each row once. */
export function prefillBytes(args: AttentionPrefillArgs): number {
  const { heads, groups, nope, rotary, value, out, key } = args;
  return args.tileCount * args.tileRows *
    (heads * (4 * (nope + rotary) + ELEMENT_BYTES[out.element] * value) +
      groups * (nope + value) * ELEMENT_BYTES[key.element]);
}
