// The splits of decode attention put together; MLA: and taken out of the latent
// space.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { isVector, viewBinding } from "./attention_views.ts";
import type { MatrixTile } from "./gemm_tile.ts";
import { dispatchOf, ELEMENT_BYTES, readWgsl, type View } from "./kernel.ts";
import { latentValuesUse } from "./latent_product.ts";
import { valueTile } from "./latent_product_tuning.ts";

const SOURCE = readWgsl("attention_merge.wgsl", import.meta.url);

/** Workgroups that keep the processors of a large GPU busy. */
const BUSY = 132;

/** The value up-projection of absorbed MLA. */
export interface ValueUp {
  /** Rows g·rowsPerGroup + firstRow + i, i < value, of `width` columns. */
  readonly weight: View;
  readonly groups: number;
  readonly firstRow: number;
  readonly rowsPerGroup: number;
  /** Rows of a group's values, v. */
  readonly value: number;
}

/** What attentionMerge() takes. */
export interface AttentionMergeArgs {
  /** As attentionDecode() writes it: [B, H, splits, width]. */
  readonly partial: GPUBuffer;
  /** As attentionDecode() writes it: f32 [B, H, splits, 2]. */
  readonly stats: GPUBuffer;
  readonly batch: number;
  readonly heads: number;
  readonly splits: number;
  /** Columns of partial. */
  readonly width: number;
  readonly up?: ValueUp;
  /** Whether partial is the means of the splits, f16, as by subgroup matrices; else sums, f32. @default false */
  readonly means?: boolean;
  /** [B, H·value]; without `up` value is width. */
  readonly out: View;
  /** By subgroup matrices, with `up`; false: not by them. @default where the device and the views allow it, for many sequences */
  readonly tile?: MatrixTile | false;
}

/**
 * out = up · (sum of the splits' parts) / (sum of the splits' sums), the parts of
 * splits as if all had the same maximum.
 *
 * @param arena Owns the parameters.
 * @param args Buffers and sizes.
 * @returns The dispatch.
 */
export function attentionMerge(
  arena: Arena,
  args: AttentionMergeArgs,
): Dispatch[] {
  const { batch, heads, splits, width, up, out, means = false } = args;
  const { facts } = arena.gpu;
  const tile = args.tile ?? valueTile(arena.gpu, args);
  if (up !== undefined && tile !== undefined && tile !== false) {
    const use = latentValuesUse(args, up, tile, facts.subgroupSize);
    return [dispatchOf(arena, use)];
  }
  const partElement = means ? "f16" : "f32";
  const value4 = Math.ceil(width / 4);
  const few = up === undefined ? batch * heads : batch * heads / 2;
  const most = facts.software ? 16 : threadsFor(arena.gpu, few);
  const across = Math.min(most, powerOfTwo(value4));
  const slices = Math.min(
    16,
    most / across,
    // Each keeps four parts in flight.
    powerOfTwo(Math.ceil(splits / 4)),
  );
  const threads = Math.max(across * slices, Math.min(most, 64));
  const rows = up === undefined ? 1 : rowsOf(batch, value4, splits, threads);
  const value = up?.value ?? width;
  const rowGroups = Math.ceil(batch / rows);
  const sharers = up === undefined || facts.software
    ? 1
    : sharersOf(heads * rowGroups);
  const upRows = sharers > 1 ? 1 : 2;
  const lanes = facts.software ? 8 : Math.max(
    16,
    Math.min(32, threads * sharers * upRows / powerOfTwo(value)),
  );
  const vector = width % 4 === 0;
  const upVector = up !== undefined && isVector(up.weight, width);
  const upBytes = up === undefined
    ? 0
    : up.groups * value * width * ELEMENT_BYTES[up.weight.element];
  return [dispatchOf(arena, {
    label: "attention_merge",
    source: SOURCE,
    constants: {
      THREADS: threads,
      SEGMENT: threads / rows,
      FAN: Math.min(threads / rows, facts.software ? 4 : 16),
      ROWS: rows,
      V: width,
      V4: value4,
      VL: across,
      VC: Math.ceil(value4 / across),
      SLICES: threads / across,
      AHEAD: Math.min(
        means ? 8 : 4,
        powerOfTwo(Math.ceil(splits * across / threads)),
      ),
      SPLITS_PADDED: powerOfTwo(splits),
      PARTIAL_VECTOR: vector,
      UP: up !== undefined,
      OUT: out.element,
      UP_VECTOR: upVector,
      LANES: lanes,
      UP_ROWS: upRows,
      MEANS: means,
      UP_AHEAD: Math.min(4, Math.ceil(value4 / lanes)),
    },
    bindings: {
      partial: {
        buffer: args.partial,
        type: vector ? `array<vec4<${partElement}>>` : `array<${partElement}>`,
        access: "read",
      },
      stats: { buffer: args.stats, type: "array<vec2<f32>>", access: "read" },
      ...(up === undefined ? {} : { up: viewBinding(up.weight, upVector) }),
      out: { ...viewBinding(out, false), access: "read_write" },
    },
    params: {
      batch: { u32: batch },
      heads: { u32: heads },
      splits: { u32: splits },
      sharers: { u32: sharers },
      value: { u32: value },
      groups: { u32: up?.groups ?? 1 },
      rows_per_group: { u32: up?.rowsPerGroup ?? 0 },
      first_row: { u32: up?.firstRow ?? 0 },
      up_offset: { u32: up?.weight.offset ?? 0 },
      up_stride: { u32: up?.weight.stride ?? 0 },
      out_offset: { u32: out.offset },
      out_stride: { u32: out.stride },
    },
    grid: [heads, rowGroups, sharers],
    bytes: batch * heads *
        (splits * (width * ELEMENT_BYTES[partElement] + 8) +
          value * ELEMENT_BYTES[out.element]) + upBytes,
    flops: 2 * batch * heads * (splits * width +
      (up === undefined ? 0 : value * width)),
  })];
}

/** Threads of a workgroup: many where there are too few workgroups to fill a GPU. */
function threadsFor(gpu: Gpu, workgroups: number): number {
  const limit = gpu.facts.limits.maxComputeInvocationsPerWorkgroup;
  return workgroups <= 64 && limit >= 1024 ? 1024 : 256;
}

/** Workgroups that share a head's up-projection: as many as keep a GPU busy. */
function sharersOf(workgroups: number): number {
  let sharers = 1;
  while (sharers < 8 && 2 * sharers * workgroups <= BUSY) sharers *= 2;
  return sharers;
}

/** Sequences of a workgroup: as many as share an up-projection within 30 KiB. */
function rowsOf(
  batch: number,
  value4: number,
  splits: number,
  threads: number,
): number {
  for (const rows of [8, 4, 2]) {
    const bytes = rows * (16 * value4 + 4 * powerOfTwo(splits) + 4 * threads) +
      20 * threads;
    if (batch >= 2 * rows && rows <= threads / 4 && bytes <= 30720) return rows;
  }
  return 1;
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
