// Activations of a pass: rows whose padding stays zero.

import { GpuError } from "../device/faults.ts";
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
  const bytes = rows * stride * ELEMENT_BYTES[element];
  checkBinding(arena, label, bytes);
  const buffer = arena.buffer(label, bytes);
  return { buffer, element, offset: 0, stride };
}

/**
 * Refuses what no binding of the device can hold.
 *
 * @param arena Of the device.
 * @param label What it is for.
 * @param bytes What it takes.
 * @throws {GpuError} "out-of-memory", if it is over the limit.
 */
export function checkBinding(arena: Arena, label: string, bytes: number): void {
  const most = bindingBytes(arena);
  if (bytes <= most) return;
  throw new GpuError(
    "out-of-memory",
    `GPU out of memory: ${label} must be <= ${most} bytes, the most that a binding of this device holds: current value is ${bytes}`,
  );
}

/** The most bytes that a kernel can reach through one binding. */
export function bindingBytes(
  { gpu: { facts: { limits } } }: Pick<Arena, "gpu">,
): number {
  return Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}

/** Widths that a model's layers need at most. */
interface Widths {
  readonly projection: number;
  readonly heads: number;
  readonly intermediate: number;
}

/**
 * Rows that layers share where they need the same.
 *
 * @returns Rows by label and width, allocated when first asked for.
 */
export function sharedRows(
  arena: Arena,
  rows: number,
  element: Element = "f32",
): (label: string, width: number) => View {
  const known = new Map<string, View>();
  return (label, width) => {
    const key = `${label} ${width}`;
    let view = known.get(key);
    if (view === undefined) {
      view = allocateRows(arena, label, rows, width, element);
      known.set(key, view);
    }
    return view;
  };
}

/**
 * Rows of a pass or a step. `element` is that of what products read: of `y`,
 * `heads` and `gated`. Layers may differ in width, and the padding of a narrow one must be zero where
 * a wide one has left numbers: each width that a product reads has its own buffer.
 *
 * @returns Scratch for one layer's widths; equal widths share buffers.
 */
export function scratchOf(
  arena: Arena,
  model: GpuModel,
  rows: number,
  element: Element = "f32",
): (layer: number) => Scratch {
  const D = model.hiddenSize;
  const view = sharedRows(arena, rows);
  const input = element === "f32" ? view : sharedRows(arena, rows, element);
  return (layer) => {
    const widths = widthsOf(model, layer);
    return {
      x: view("x", D),
      y: input("y", D),
      projection: view("projection", widths.projection),
      heads: input("heads", widths.heads),
      gateUp: view("gateUp", 2 * widths.intermediate),
      gated: input("gated", widths.intermediate),
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
