// W·x for a few rows of x by subgroups, with what comes before and after it in a
// decode step: the scale of the norm before, the gate, and the residual stream made
// ready for the norm after.

import type { Arena, Dispatch } from "../device/gpu.ts";
import type { GemvShape } from "./gemv_tuning.ts";
import {
  type Binding,
  dispatchOf,
  ELEMENT_BYTES,
  type GpuMatrix,
  linearGrid,
  type Param,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("gemv_subgroup.wgsl", import.meta.url);

/** Sums of squares of rows in parts: f32 [rows, stride], the first `count` of each row in use. */
export interface Squares {
  readonly buffer: GPUBuffer;
  readonly count: number;
  /** A multiple of 4; zeros from `count` on. */
  readonly stride: number;
}

/** x has been multiplied by the norm's weight: what is left is its scale. */
export interface ScaledPrologue {
  readonly kind: "scaled";
  /** Of the rows before their weights. */
  readonly squares: Squares;
  readonly eps: number;
}

/** What happens to the product on the way out. */
export type Epilogue =
  /** W is [gate; up]: `out` becomes silu(gate)·up, half as wide. */
  | { readonly kind: "gated" }
  /** `out` is the residual stream, which the product is added to, and which the norm after reads as `y` and `squares`. */
  | { readonly kind: "residual"; readonly next: NextNorm };

/** What an RMSNorm over the columns of W leaves to the product after it. */
export interface NextNorm {
  /** f32[width of a row]. */
  readonly weight: GPUBuffer;
  /** A row times the weight; what f16 cannot hold becomes the largest that it can. */
  readonly y: View;
  readonly squares: Squares;
}

/**
 * Room for sums of squares.
 *
 * @param arena Owns it.
 * @param rows Rows that are summed.
 * @param count Parts of each sum.
 * @returns The sums, zero.
 */
export function squaresOf(
  arena: Arena,
  rows: number,
  count: number,
): Squares {
  const stride = Math.ceil(count / 4) * 4;
  return { buffer: arena.buffer("squares", 4 * rows * stride), count, stride };
}

/** A product of one part of W. */
export interface SubgroupProduct {
  readonly x: View;
  readonly rows: number;
  readonly weight: GpuMatrix;
  readonly part: GpuMatrix["parts"][number];
  readonly bias?: GPUBuffer;
  readonly out: View;
  readonly outColumn: number;
  readonly accumulate: boolean;
  readonly prologue?: ScaledPrologue | undefined;
  readonly epilogue?: Epilogue;
  readonly shape: GemvShape;
  /** Workgroups of the parts before. */
  readonly firstGroup: number;
}

/**
 * Workgroups that share a number of rows of W, or of its gate.
 *
 * @param gpu The device.
 * @param gpu.facts What its subgroups are.
 * @param shape How they are shared.
 * @param height The rows.
 */
export function workgroupsOf(
  { facts }: Arena["gpu"],
  shape: GemvShape,
  height: number,
): number {
  return Math.ceil(height / (shape.rows * shape.threads / facts.subgroupSize));
}

/**
 * One dispatch of a product by subgroups.
 *
 * @param arena Owns the parameters.
 * @param product Operands.
 * @returns The dispatch.
 */
export function subgroupProduct(
  arena: Arena,
  product: SubgroupProduct,
): Dispatch {
  const { gpu } = arena;
  const { x, rows, weight, part, bias, out, prologue, epilogue, shape } =
    product;
  const residual = epilogue?.kind === "residual" ? epilogue.next : undefined;
  const gated = epilogue?.kind === "gated";
  const accumulate = product.accumulate || residual !== undefined;
  const height = gated ? part.rows / 2 : part.rows;
  const lanes = gpu.facts.subgroupSize;
  const outputs = shape.rows * rows;
  const half = weight.element === "f16";
  const access = accessOf(x, weight.columns);
  const groups = workgroupsOf(gpu, shape, height);
  const bindings: Record<string, Binding> = {
    x: access === "packed"
      ? { buffer: x.buffer, type: "array<vec4<u32>>", access: "read" }
      : rowBinding(x, access === "vectors", "read"),
    weight: {
      buffer: part.buffer,
      type: half ? "array<vec4<u32>>" : "array<vec4<f32>>",
      access: "read",
    },
    output: rowBinding(out, false, "read_write"),
  };
  const params: Record<string, Param> = {
    columns: { u32: weight.columns },
    height: { u32: height },
    groups: { u32: groups },
    xOffset: { u32: x.offset },
    xStride: { u32: x.stride },
    outOffset: { u32: out.offset + product.outColumn + part.firstRow },
    outStride: { u32: out.stride },
  };
  if (bias !== undefined) {
    bindings.bias = { buffer: bias, type: "array<f32>", access: "read" };
    params.biasOffset = { u32: part.firstRow };
  }
  let loads = 0;
  if (prologue !== undefined) {
    const { buffer, count, stride } = prologue.squares;
    bindings.xSquares = { buffer, type: "array<vec4<f32>>", access: "read" };
    params.squareStride4 = { u32: stride / 4 };
    params.squareCount4 = { u32: Math.ceil(count / 4) };
    params.eps = { f32: prologue.eps };
    loads = Math.ceil(count / 4 / lanes);
  }
  if (residual !== undefined) {
    const { weight: buffer, y, squares } = residual;
    bindings.normWeight = { buffer, type: "array<f32>", access: "read" };
    bindings.y = rowBinding(y, false, "read_write");
    bindings.ySquares = {
      buffer: squares.buffer,
      type: "array<f32>",
      access: "read_write",
    };
    params.weightOffset = { u32: part.firstRow };
    params.yOffset = { u32: y.offset + part.firstRow };
    params.yStride = { u32: y.stride };
    params.ySquareStride = { u32: squares.stride };
    params.firstGroup = { u32: product.firstGroup };
  }
  return dispatchOf(arena, {
    label: `gemv ${rows} x ${part.rows}x${weight.columns} ${weight.element}`,
    source: SOURCE,
    constants: {
      SUBGROUPS: shape.threads / lanes,
      LANES: lanes,
      ROWS: shape.rows,
      HELD: shape.rows * (gated ? 2 : 1),
      COLS: rows,
      OUTPUTS: outputs,
      BATCHES: Math.ceil(outputs / lanes),
      UNROLL: shape.unroll,
      STRIDE8: weight.stride / 8,
      W_HALF: half,
      X: access,
      HALVES: half || access === "packed",
      SCALED: prologue !== undefined,
      SQUARE_LOADS: loads,
      // Registers are few where there are many sums.
      EARLY: prologue !== undefined && rows * loads <= 8,
      GATED: gated,
      RESIDUAL: residual !== undefined,
      BIAS: bias !== undefined,
      ACCUMULATE: accumulate,
      OUT: out.element,
      Y: residual?.y.element ?? "f32",
    },
    bindings,
    params,
    needs: ["subgroups"],
    grid: linearGrid(gpu, groups),
    bytes: bytesOf(product, height, accumulate),
    flops: 2 * rows * part.rows * weight.columns,
  });
}

/** How rows of x are read: eight halves at once, four numbers, or one. */
function accessOf(x: View, columns: number): "packed" | "vectors" | "single" {
  if (columns % 8 !== 0) return "single";
  if (x.element === "f16") return isAligned(x, 8) ? "packed" : "single";
  return isAligned(x, 4) ? "vectors" : "single";
}

function bytesOf(
  { x, rows, weight, part, out, epilogue }: SubgroupProduct,
  height: number,
  accumulate: boolean,
): number {
  const y = epilogue?.kind === "residual" ? epilogue.next.y : undefined;
  const written = ELEMENT_BYTES[out.element] * (accumulate ? 2 : 1) +
    (y === undefined ? 0 : ELEMENT_BYTES[y.element]);
  return part.rows * weight.stride * ELEMENT_BYTES[weight.element] +
    rows * (weight.columns * ELEMENT_BYTES[x.element] + height * written);
}
