// The KV cache: two buffers a layer, exactly as wide as the layer's sizes say.

import type { Arena } from "../device/gpu.ts";
import { type Element, ELEMENT_BYTES, type View } from "../kernels/kernel.ts";
import type { AttentionForm } from "./layer_weights.ts";

/** One layer's part of the cache. */
export interface LayerCache {
  /** [B, capacity, firstWidth] */
  readonly first: View;
  /** [B, capacity, secondWidth]; absent where that is 0. */
  readonly second?: View;
}

/** All layers' caches of B sequences. */
export interface KvCache {
  readonly layers: readonly LayerCache[];
  readonly batch: number;
  /** Tokens that each sequence has room for. */
  readonly capacity: number;
  /** Bytes of all its buffers. */
  readonly bytes: number;
}

/**
 * Allocates a cache.
 *
 * @param arena Owns it.
 * @param forms Each layer's sizes.
 * @param batch B.
 * @param capacity Tokens a sequence.
 * @param element How numbers are stored.
 */
export function allocateCache(
  arena: Arena,
  forms: readonly AttentionForm[],
  batch: number,
  capacity: number,
  element: Element,
): KvCache {
  let bytes = 0;
  const part = (label: string, width: number): View => {
    const size = batch * capacity * width * ELEMENT_BYTES[element];
    const buffer = arena.buffer(label, size);
    // A buffer's size is a multiple of 4, which an odd number of f16 is not.
    bytes += buffer.size - (4 - size % 4) % 4;
    return { buffer, element, offset: 0, stride: width };
  };
  const layers = forms.map((form, i) => ({
    first: part(`cache ${i} first`, form.firstWidth),
    ...(form.secondWidth === 0
      ? {}
      : { second: part(`cache ${i} second`, form.secondWidth) }),
  }));
  return { layers, batch, capacity, bytes };
}

/**
 * One layer's worth of cache that all layers share, one after the other: for
 * passes whose keys nobody reads later.
 *
 * @returns As allocateCache(), layers of equal widths on the same buffers.
 */
export function allocateScratchCache(
  arena: Arena,
  forms: readonly AttentionForm[],
  batch: number,
  capacity: number,
  element: Element,
): KvCache {
  const byWidth = new Map<string, LayerCache>();
  let bytes = 0;
  const layers = forms.map((form) => {
    const key = `${form.firstWidth} ${form.secondWidth}`;
    let layer = byWidth.get(key);
    if (layer === undefined) {
      const one = allocateCache(arena, [form], batch, capacity, element);
      bytes += one.bytes;
      byWidth.set(key, layer = one.layers[0]!);
    }
    return layer;
  });
  return { layers, batch, capacity, bytes };
}

/** The rows of sequences from `sequence` on. */
export function fromSequence(
  view: View,
  sequence: number,
  capacity: number,
): View {
  return {
    ...view,
    offset: view.offset + sequence * capacity * view.stride,
  };
}
