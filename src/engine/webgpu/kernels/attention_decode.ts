// Attention of one query row a sequence to its cache, in splits of the keys.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { attentionDecodeMatrix } from "./attention_decode_matrix.ts";
import type { MatrixDecodeShape } from "./attention_matrix_layout.ts";
import { attentionDecodeLanes } from "./attention_decode_lanes.ts";
import { attentionDecodeTile } from "./attention_decode_tile.ts";
import {
  isVector,
  keyLoads,
  LOADS_SOURCE,
  viewBinding,
} from "./attention_views.ts";
import { dispatchOf, ELEMENT_BYTES, readWgsl, type View } from "./kernel.ts";
import { fillTemplate } from "./template.ts";
import type { TileDecodeShape } from "./tile_decode_tuning.ts";

const SOURCE = readWgsl("attention_decode.wgsl", import.meta.url);

/** What attentionDecode() takes. */
export interface AttentionDecodeArgs {
  /** f32 [B, H·(a+b)] */
  readonly query: View;
  readonly heads: number;
  /** Distinct keys; 1: all heads share them. */
  readonly keyGroups: number;
  /** Distinct values. */
  readonly valueGroups: number;
  /** Row sequence·capacity + position. */
  readonly first: View;
  readonly second: View;
  /** a: columns of a key in first. */
  readonly firstWidth: number;
  /** b: columns of a key in second, shared by all heads; 0: none. */
  readonly secondWidth: number;
  /** Columns of first from the key of one group to the next. */
  readonly keyGroupStride: number;
  readonly valueFrom: "first" | "second";
  /** v */
  readonly valueWidth: number;
  readonly valueGroupStride: number;
  readonly capacity: number;
  /** u32 [B]: tokens before this step's, which is in the cache already. */
  readonly lengths: GPUBuffer;
  readonly batch: number;
  readonly splits: number;
  readonly scale: number;
  /** f32 [B, H, splits, v]: sums of 2^(score log2 e - max) value; not written where a split is empty. With `matrix`: means, f16. */
  readonly partial: GPUBuffer;
  /** f32 [B, H, splits, 2]: max of score log2 e, and sum of 2^(score log2 e - max); sum 0 where a split is empty. */
  readonly stats: GPUBuffer;
  /** By subgroup matrices, in this shape: see matrixDecodeShape(). */
  readonly matrix?: MatrixDecodeShape;
  /** For the work's size: keys of all sequences together. */
  readonly keys?: number;
  /** The form by tiles, where it fits. */
  readonly tile?: TileDecodeShape;
  /** Never a form that needs subgroups. @default false */
  readonly plain?: boolean;
}

/**
 * Split s of S of a sequence of n keys covers keys s·ceil(n/S) up to (s+1)·ceil(n/S).
 *
 * @param arena Owns the parameters.
 * @param args Views and sizes.
 * @returns The dispatch.
 */
export function attentionDecode(
  arena: Arena,
  args: AttentionDecodeArgs,
): Dispatch[] {
  const work = workOf(args);
  const matrix = attentionDecodeMatrix(arena, args, work);
  if (matrix !== undefined) return [matrix];
  const fast = args.plain
    ? undefined
    : attentionDecodeTile(arena, args, work) ??
      attentionDecodeLanes(arena, args, work);
  if (fast !== undefined) return [fast];
  const { heads, keyGroups, valueGroups, firstWidth, secondWidth } = args;
  const { valueWidth, batch, splits } = args;
  const groups = Math.max(keyGroups, valueGroups);
  const values = args.valueFrom === "first" ? args.first : args.second;
  const loads = keyLoads({
    query: args.query,
    queryNope: 0,
    queryRotary: firstWidth,
    heads,
    groups,
    nope: firstWidth,
    rotary: secondWidth,
    scale: args.scale,
    key: args.first,
    keyGroupStride: args.keyGroupStride,
    ...(secondWidth > 0 ? { rotaryKey: args.second } : {}),
    capacity: args.capacity,
  });
  const valueVector = isVector(values, valueWidth, args.valueGroupStride);
  const perGroup = Math.ceil(heads / groups);
  const threads = arena.gpu.facts.software ? 16 : 64;
  const headBlock = perGroup >= 4 ? 4 : perGroup >= 2 ? 2 : 1;
  const value4 = Math.ceil(valueWidth / 4);
  const across = Math.min(threads, 2 ** Math.ceil(Math.log2(value4)));
  const blocks = Math.ceil(perGroup / headBlock);
  const constants = {
    ...loads.constants,
    THREADS: threads,
    HB: headBlock,
    V: valueWidth,
    V4: value4,
    VL: across,
    VC: Math.ceil(value4 / across),
    SLICES: threads / across,
    VALUE_VECTOR: valueVector,
    OUT_VECTOR: valueWidth % 4 === 0,
    OUT: "f32",
  };
  return [dispatchOf(arena, {
    label: "attention_decode",
    source: SOURCE,
    constants: { ...constants, LOADS: fillTemplate(LOADS_SOURCE, constants) },
    bindings: {
      ...loads.bindings,
      values: viewBinding(values, valueVector),
      lengths: { buffer: args.lengths, type: "array<u32>", access: "read" },
      out: {
        buffer: args.partial,
        type: valueWidth % 4 === 0 ? "array<vec4<f32>>" : "array<f32>",
        access: "read_write",
      },
      stats: {
        buffer: args.stats,
        type: "array<vec2<f32>>",
        access: "read_write",
      },
    },
    params: {
      ...loads.params,
      key_groups: { u32: keyGroups },
      value_groups: { u32: valueGroups },
      value_offset: { u32: values.offset },
      value_stride: { u32: values.stride },
      value_group_stride: { u32: args.valueGroupStride },
      value_capacity: { u32: args.capacity },
      splits: { u32: splits },
      blocks: { u32: blocks },
    },
    grid: [groups * blocks, splits, batch],
    ...work,
  })];
}

/** Keys and values once, partial sums once. */
function workOf(args: AttentionDecodeArgs): { bytes: number; flops: number } {
  const { heads, keys = 0, batch, splits } = args;
  const { firstWidth, secondWidth, valueWidth } = args;
  const keyColumns = args.keyGroupStride === 0
    ? firstWidth
    : args.keyGroups * firstWidth;
  const row = keyColumns * ELEMENT_BYTES[args.first.element] +
    (args.valueFrom === "first"
        ? secondWidth
        : args.valueGroups * valueWidth + secondWidth) *
      ELEMENT_BYTES[args.second.element];
  const partBytes = args.matrix === undefined ? 4 : 2;
  return {
    bytes: keys * row + batch * heads * splits * (valueWidth * partBytes + 8),
    flops: 2 * keys * heads * (firstWidth + secondWidth + valueWidth),
  };
}
