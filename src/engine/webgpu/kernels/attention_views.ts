// Queries, keys and values as the attention kernels bind them: in vectors of four
// where widths and offsets allow it, else one by one. Shared by attention_prefill
// and attention_sums.

import { type Binding, type Param, readWgsl, type View } from "./kernel.ts";
import type { Constants } from "./template.ts";

/** The loads that the views' constants and bindings belong to. */
export const LOADS_SOURCE = readWgsl("attention_loads.wgsl", import.meta.url);

/** Queries and keys of a pass; score = scale·(q_nope . key + q_rotary . rotaryKey). */
export interface AttentionViews {
  /** [rows, H·(n+m)] */
  readonly query: View;
  /** First unrotated dim in a query head. */
  readonly queryNope: number;
  /** First rotary dim in a query head. */
  readonly queryRotary: number;
  readonly heads: number;
  readonly groups: number;
  /** n */
  readonly nope: number;
  /** m; GQA: 0. */
  readonly rotary: number;
  readonly scale: number;
  /** Row sequence·capacity + position. */
  readonly key: View;
  /** Columns from the key of one group to the next. */
  readonly keyGroupStride: number;
  /** Of all groups; needed where m > 0. */
  readonly rotaryKey?: View;
  /** Rows from one sequence to the next in rotaryKey, and in key and values by default. */
  readonly capacity: number;
  /** Of key, where it is another: keys made for this pass alone. @default capacity */
  readonly keyCapacity?: number;
}

/** Whether rows can be read as vectors of four. */
export function isVector(view: View, ...columns: readonly number[]): boolean {
  return [view.offset, view.stride, ...columns].every((n) => n % 4 === 0);
}

/** A read-only binding of a view, in vectors or one by one. */
export function viewBinding(view: View, vector: boolean): Binding {
  const type = vector ? `vec4<${view.element}>` : view.element;
  return { buffer: view.buffer, type: `array<${type}>`, access: "read" };
}

/**
 * What a kernel needs to load queries and keys.
 *
 * @param views The views.
 * @returns Parts of a KernelUse.
 * @throws {RangeError} If there are rotary dims and no rotary key.
 */
export function keyLoads(views: AttentionViews): {
  constants: Constants;
  bindings: Record<string, Binding>;
  params: Record<string, Param>;
} {
  const { query, key, rotaryKey, nope, rotary } = views;
  if (rotary > 0 && rotaryKey === undefined) {
    throw new RangeError(
      `Cannot attend as rotaryKey is missing: rotary is ${rotary}`,
    );
  }
  const queryVector = isVector(
    query,
    nope,
    rotary,
    views.queryNope,
    views.queryRotary,
  );
  const keyVector = isVector(key, nope, views.keyGroupStride);
  const rotaryVector = rotaryKey !== undefined && isVector(rotaryKey, rotary);
  return {
    constants: {
      N: nope,
      M: rotary,
      N4: Math.ceil(nope / 4),
      W4: Math.ceil(nope / 4) + Math.ceil(rotary / 4),
      QUERY_VECTOR: queryVector,
      KEY_VECTOR: keyVector,
      ROTARY_VECTOR: rotaryVector,
    },
    bindings: {
      query: viewBinding(query, queryVector),
      key: viewBinding(key, keyVector),
      ...(rotaryKey !== undefined && rotary > 0
        ? { rotary_key: viewBinding(rotaryKey, rotaryVector) }
        : {}),
    },
    params: {
      heads: { u32: views.heads },
      groups: { u32: views.groups },
      capacity: { u32: views.capacity },
      key_capacity: { u32: views.keyCapacity ?? views.capacity },
      // Softmax by exp2.
      scale: { f32: views.scale * Math.LOG2E },
      query_offset: { u32: query.offset },
      query_stride: { u32: query.stride },
      query_nope: { u32: views.queryNope },
      query_rotary: { u32: views.queryRotary },
      key_offset: { u32: key.offset },
      key_stride: { u32: key.stride },
      key_group_stride: { u32: views.keyGroupStride },
      rotary_offset: { u32: rotaryKey?.offset ?? 0 },
      rotary_stride: { u32: rotaryKey?.stride ?? 0 },
    },
  };
}
