// Activations of a pass: f32 rows whose padding stays zero.

import type { Arena } from "../device/gpu.ts";
import {
  type Element,
  ELEMENT_BYTES,
  padded,
  type View,
} from "../kernels/kernel.ts";
import type { GpuModel } from "./gpu_model.ts";

/** Buffers that all layers of a pass use in turn. */
export interface Scratch {
  /** The residual stream, [R, D]. */
  readonly x: View;
  /** Normed, [R, D]. */
  readonly y: View;
  /** Output of the stacked projection, [R, widest]. */
  readonly projection: View;
  /** Heads' outputs, [R, H·v]. */
  readonly heads: View;
  /** Gate and up side by side, [R, 2I]. */
  readonly gateUp: View;
  /** What downProj multiplies, [R, I]. */
  readonly gated: View;
}

/** Zeroed rows of activations. */
export function allocateRows(
  arena: Arena,
  label: string,
  rows: number,
  width: number,
  element: Element = "f32",
): View {
  const stride = padded(width);
  const buffer = arena.buffer(label, rows * stride * ELEMENT_BYTES[element]);
  return { buffer, element, offset: 0, stride };
}

/** Widths that a model's layers need at most. */
interface Widths {
  readonly projection: number;
  readonly heads: number;
  readonly intermediate: number;
}

/**
 * Layers may differ in width, and the padding of a narrow one must be zero where
 * a wide one has left numbers: each width that a product reads has its own buffer.
 *
 * @returns Scratch for one layer's widths; equal widths share buffers.
 */
export function scratchOf(
  arena: Arena,
  model: GpuModel,
  rows: number,
): (layer: number) => Scratch {
  const D = model.hiddenSize;
  const known = new Map<string, View>();
  const view = (label: string, width: number): View => {
    const key = `${label} ${width}`;
    let found = known.get(key);
    if (found === undefined) {
      known.set(key, found = allocateRows(arena, label, rows, width));
    }
    return found;
  };
  return (layer) => {
    const widths = widthsOf(model, layer);
    return {
      x: view("x", D),
      y: view("y", D),
      projection: view("projection", widths.projection),
      heads: view("heads", widths.heads),
      gateUp: view("gateUp", 2 * widths.intermediate),
      gated: view("gated", widths.intermediate),
    };
  };
}

/** Bytes of scratch that a row takes at most, expanded keys and values apart. */
export function scratchBytesPerRow(model: GpuModel): number {
  let most = 0;
  for (const i of model.layers.keys()) {
    const { projection, heads, intermediate } = widthsOf(model, i);
    const width = 2 * model.hiddenSize + projection + heads + 3 * intermediate;
    most = Math.max(most, 4 * width);
  }
  return most;
}

function widthsOf(model: GpuModel, layer: number): Widths {
  const { projectionWidth, form, intermediateSize } = model.layers[layer]!;
  return {
    projection: projectionWidth,
    heads: form.heads * form.value,
    intermediate: intermediateSize,
  };
}
