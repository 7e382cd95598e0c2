// The KV cache: two buffers a layer, exactly as wide as the layer's sizes say.

import type { Arena } from "../device/gpu.ts";
import { type Element, ELEMENT_BYTES, type View } from "../kernels/kernel.ts";
import type { GpuModel } from "./gpu_model.ts";
import { bindingBytes, checkBinding } from "./scratch.ts";

/** One layer's part of the cache. */
export interface LayerCache {
  /** [B, capacity, firstWidth] */
  readonly first: View;
  /** [B, capacity, secondWidth]; absent where that is 0. */
  readonly second?: View;
}

/** What of a model decides its cache. */
type CachedModel = Pick<GpuModel, "layers" | "cacheElement">;

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
 * Allocates a cache: all layers' first parts side by side, then all second
 * parts, in as few buffers as bindings allow. Allocators of GPU memory round
 * middling buffers up to blocks; a few large ones take what they say.
 *
 * @param arena Owns it.
 * @param model Gives each layer's sizes, and how numbers are stored.
 * @param batch B.
 * @param capacity Tokens a sequence.
 */
export function allocateCache(
  arena: Arena,
  { layers, cacheElement: element }: CachedModel,
  batch: number,
  capacity: number,
): KvCache {
  const forms = layers.map(({ form }) => form);
  const rows = batch * capacity;
  const firsts = allocateParts(
    arena,
    "cache first",
    forms.map(({ firstWidth }) => firstWidth),
    rows,
    element,
  );
  const seconds = allocateParts(
    arena,
    "cache second",
    forms.map(({ secondWidth }) => secondWidth),
    rows,
    element,
  );
  return {
    layers: forms.map((form, i) => ({
      first: firsts.views[i]!,
      ...(form.secondWidth === 0 ? {} : { second: seconds.views[i]! }),
    })),
    batch,
    capacity,
    bytes: firsts.bytes + seconds.bytes,
  };
}

/** Parts of all layers in shared buffers, none larger than a binding. */
function allocateParts(
  arena: Arena,
  label: string,
  widths: readonly number[],
  rows: number,
  element: Element,
): { views: View[]; bytes: number } {
  const elementBytes = ELEMENT_BYTES[element];
  const most = bindingBytes(arena) / elementBytes;
  const shards: number[] = [];
  const places = widths.map((width) => {
    const elements = rows * width;
    checkBinding(arena, `one layer's ${label}`, elements * elementBytes);
    const last = shards.length - 1;
    if (last < 0 || shards[last]! + elements > most) {
      shards.push(elements);
      return { shard: shards.length - 1, offset: 0 };
    }
    const offset = shards[last]!;
    shards[last]! += elements;
    return { shard: last, offset };
  });
  let bytes = 0;
  const buffers = shards.map((elements, i) => {
    // No layer has this part: nothing to allocate, nothing to count.
    if (elements === 0) return undefined;
    bytes += elements * elementBytes;
    return arena.buffer(`${label} ${i}`, elements * elementBytes);
  });
  const views = widths.map((width, i): View => ({
    buffer: buffers[places[i]!.shard]!,
    element,
    offset: places[i]!.offset,
    stride: width,
  }));
  return { views, bytes };
}

/**
 * One layer's worth of cache that all layers share, one after the other: for
 * passes whose keys nobody reads later.
 *
 * @returns As allocateCache(), layers of equal widths on the same buffers.
 */
export function allocateScratchCache(
  arena: Arena,
  { layers, cacheElement }: CachedModel,
  batch: number,
  capacity: number,
): KvCache {
  const byWidth = new Map<string, LayerCache>();
  let bytes = 0;
  const caches = layers.map((each) => {
    const { form } = each;
    const key = `${form.firstWidth} ${form.secondWidth}`;
    let layer = byWidth.get(key);
    if (layer === undefined) {
      const alone = { layers: [each], cacheElement };
      const one = allocateCache(arena, alone, batch, capacity);
      bytes += one.bytes;
      byWidth.set(key, layer = one.layers[0]!);
    }
    return layer;
  });
  return { layers: caches, batch, capacity, bytes };
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
