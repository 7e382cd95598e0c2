// W·f(x) for a few rows of x: bound by reading W, which happens once. By subgroups
// see gemv_subgroup.ts; here are the forms that need none, and that compute x anew.

import type { Arena, Dispatch } from "../device/gpu.ts";
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
import { STORE_PRODUCT } from "./gemm_part.ts";
import {
  type Epilogue,
  type ScaledPrologue,
  type Squares,
  squaresOf,
  subgroupProduct,
  workgroupsOf,
} from "./gemv_subgroup.ts";
import {
  type GemvForm,
  type GemvShape,
  gemvShape,
  type GemvSize,
} from "./gemv_tuning.ts";

const SOURCE = readWgsl("gemv.wgsl", import.meta.url);

/** Most rows of x that gemv() takes. */
const GEMV_ROWS = 16;

/** What happens to x on the way in. */
export type Prologue =
  /** RMSNorm over all columns. */
  | { readonly kind: "norm"; readonly weight: GPUBuffer; readonly eps: number }
  /** x is [gate; up], each as wide as W: silu(gate)·up. */
  | { readonly kind: "gatedSilu" };

/** What gemv() takes. */
export interface GemvArgs {
  /** [rows, columns of W], or twice as wide for gatedSilu. */
  readonly x: View;
  readonly rows: number;
  readonly weight: GpuMatrix;
  /** f32[rows of W]. */
  readonly bias?: GPUBuffer;
  /** [rows, outColumn + rows of W], half of that where it is gated; another buffer than that of `x`. */
  readonly out: View;
  /** Adds to `out`. @default false */
  readonly accumulate?: boolean;
  /** "scaled" needs subgroups of one size. */
  readonly prologue?: Prologue | ScaledPrologue;
  /** Needs subgroups of one size, and for "gated" a matrix in one part. */
  readonly epilogue?: Epilogue;
  /** Column of `out` that row 0 of W goes to. @default 0 */
  readonly outColumn?: number;
  /** @default what gemv_tuning.ts says */
  readonly shape?: GemvShape;
}

/**
 * out[i, outColumn + j] (+)= sum_k W[j, k]·f(x[i])[k] + bias[j], one dispatch for
 * each part of W.
 *
 * @param arena Owns the parameters.
 * @param args Operands.
 * @returns The dispatches, in any order.
 * @throws {RangeError} If there are more than 16 rows, or what the arguments need is not there.
 */
export function gemv(arena: Arena, args: GemvArgs): Dispatch[] {
  const { rows, weight, prologue, epilogue } = args;
  if (rows > GEMV_ROWS) {
    throw new RangeError(
      `Cannot multiply by gemv as rows must be <= ${GEMV_ROWS}: current value is ${rows}`,
    );
  }
  const shape = shapeOf(arena, args);
  if (prologue?.kind === "norm" || prologue?.kind === "gatedSilu") {
    if (epilogue !== undefined) {
      throw new RangeError(
        `Cannot multiply by gemv as epilogue ${epilogue.kind} must not follow prologue ${prologue.kind}`,
      );
    }
    return weight.parts.map((part) =>
      partDispatch(arena, { ...args, prologue }, part, shape)
    );
  }
  if (!shape.subgroups) {
    if (prologue === undefined && epilogue === undefined) {
      return weight.parts.map((part) =>
        partDispatch(arena, { ...args, prologue }, part, shape)
      );
    }
    throw new RangeError(
      `Cannot multiply by gemv as ${
        epilogue?.kind ?? prologue?.kind
      } needs subgroups of one size: ${arena.gpu.facts.name} has none`,
    );
  }
  if (epilogue?.kind === "gated" && weight.parts.length > 1) {
    throw new RangeError(
      `Cannot multiply by gemv as a gated matrix must be in one part: current value is ${weight.parts.length}`,
    );
  }
  let firstGroup = 0;
  return weight.parts.map((part) => {
    const dispatch = subgroupProduct(arena, {
      ...args,
      prologue,
      part,
      outColumn: args.outColumn ?? 0,
      accumulate: args.accumulate ?? false,
      shape,
      firstGroup,
    });
    firstGroup += workgroupsOf(arena.gpu, shape, part.rows);
    return dispatch;
  });
}

/**
 * Room for the sums of squares that gemv() with such a residual epilogue leaves.
 *
 * @param arena Owns it.
 * @param args The product.
 * @returns The sums, zero.
 */
export function gemvSquares(
  arena: Arena,
  args: Pick<GemvArgs, "rows" | "weight" | "shape">,
): Squares {
  const { rows, weight } = args;
  const shape = args.shape ?? gemvShape(arena.gpu, sizeOf(args, "residual"));
  const count = weight.parts.reduce(
    (sum, part) => sum + workgroupsOf(arena.gpu, shape, part.rows),
    0,
  );
  return squaresOf(arena, rows, count);
}

function shapeOf(arena: Arena, args: GemvArgs): GemvShape {
  const { prologue, epilogue } = args;
  const form = epilogue?.kind ?? prologue?.kind ?? "plain";
  return args.shape ?? gemvShape(arena.gpu, sizeOf(args, form));
}

function sizeOf(
  { rows, weight }: Pick<GemvArgs, "rows" | "weight">,
  form: GemvForm,
): GemvSize {
  return { columns: rows, height: weight.rows, width: weight.columns, form };
}

function partDispatch(
  arena: Arena,
  args: Omit<GemvArgs, "prologue"> & {
    readonly prologue: Prologue | undefined;
  },
  part: GpuMatrix["parts"][number],
  shape: GemvShape,
): Dispatch {
  const { gpu } = arena;
  const { x, rows, weight, bias, out, prologue, outColumn = 0 } = args;
  const { accumulate = false } = args;
  const columns = 2 ** Math.ceil(Math.log2(rows));
  const norm = prologue?.kind === "norm" ? prologue : undefined;
  const half = weight.element === "f16";
  const vector = weight.columns % 8 === 0 && isAligned(x, 4);
  const lanes = shape.subgroups ? gpu.facts.subgroupSize : shape.threads;
  const groups = shape.subgroups ? shape.threads / lanes : 1;
  const values = shape.rows * columns + (norm === undefined ? 0 : columns);
  const bindings: Record<string, Binding> = {
    x: rowBinding(x, vector, "read"),
    weight: {
      buffer: part.buffer,
      type: half ? "array<vec4<u32>>" : "array<vec4<f32>>",
      access: "read",
    },
    output: rowBinding(out, false, "read_write"),
  };
  const params: Record<string, Param> = {
    rows: { u32: rows },
    columns: { u32: weight.columns },
    stride8: { u32: weight.stride / 8 },
    partRows: { u32: part.rows },
    biasOffset: { u32: part.firstRow },
    xOffset: { u32: x.offset },
    xStride: { u32: x.stride },
    outOffset: { u32: out.offset + outColumn + part.firstRow },
    outStride: { u32: out.stride },
  };
  if (bias !== undefined) {
    bindings.bias = { buffer: bias, type: "array<f32>", access: "read" };
  }
  if (norm !== undefined) {
    bindings.normWeight = {
      buffer: norm.weight,
      type: vector ? "array<vec4<f32>>" : "array<f32>",
      access: "read",
    };
    params.eps = { f32: norm.eps };
  }
  return dispatchOf(arena, {
    label: `gemv ${rows} x ${part.rows}x${weight.columns} ${weight.element}`,
    source: STORE_PRODUCT + SOURCE,
    constants: {
      THREADS: shape.threads,
      HALVINGS: Math.log2(shape.threads),
      LANES: lanes,
      SUBGROUP: shape.subgroups,
      ROWS: shape.rows,
      COLS: columns,
      UNROLL: shape.unroll,
      VALUES: values,
      HALF: half,
      VECTOR: vector,
      NORM: norm !== undefined,
      GATED: prologue?.kind === "gatedSilu",
      BIAS: bias !== undefined,
      ACCUMULATE: accumulate,
      OUT: out.element,
    },
    bindings,
    params,
    needs: shape.subgroups ? ["subgroups"] : [],
    grid: linearGrid(gpu, Math.ceil(part.rows / (shape.rows * groups))),
    bytes: part.rows * weight.stride * ELEMENT_BYTES[weight.element] +
      rows * (weight.columns * ELEMENT_BYTES[x.element] *
            (prologue?.kind === "gatedSilu" ? 2 : 1) +
          part.rows * ELEMENT_BYTES[out.element] * (accumulate ? 2 : 1)),
    flops: 2 * rows * part.rows * weight.columns,
  });
}
