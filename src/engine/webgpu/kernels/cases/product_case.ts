// Cases of the kernels that multiply by a weight matrix: inputs, and the f64
// answer with what f may be on the way in.

import { fromFloat32, toFloat32 } from "../../../../base/dtype.ts";
import type { Arena, Dispatch, Gpu } from "../../device/gpu.ts";
import { caseMatrix, rowsOutput, zeroMatrix } from "./case_matrix.ts";
import { type CaseRows, caseRows, zeroRows } from "./case_rows.ts";
import { type Element, type GpuMatrix, padded, type View } from "../kernel.ts";
import type { KernelCase } from "./kernel_case.ts";
import type { Prologue } from "../gemv.ts";

/** What a case hands to gemv(), gemm() or linear(). */
export interface ProductOperands {
  readonly x: View;
  readonly rows: number;
  readonly weight: GpuMatrix;
  readonly bias?: GPUBuffer;
  readonly out: View;
  readonly accumulate?: boolean;
  readonly prologue?: Prologue;
  readonly outColumn?: number;
  readonly firstWeightRow?: number;
  readonly weightRows?: number;
}

/** One product. */
export interface ProductShape {
  /** Rows of x, rows and columns of W. */
  readonly rows: number;
  readonly height: number;
  readonly width: number;
  readonly element: Element;
  readonly rowsPerPart?: number;
  readonly bias?: boolean;
  readonly accumulate?: boolean;
  readonly prologue?: Prologue["kind"];
  readonly outColumn?: number;
  readonly firstWeightRow?: number;
  readonly weightRows?: number;
  readonly xElement?: Element;
  readonly xOffset?: number;
  /** Columns of x beyond those that are read. @default up to a multiple of 8 */
  readonly xExtra?: number;
  readonly outElement?: Element;
  readonly outOffset?: number;
  /** Standard deviation of x. @default 1 */
  readonly std?: number;
  /** What the shape of the kernel is, for the label. */
  readonly note?: string;
  readonly fits?: (gpu: Gpu) => boolean;
  readonly needs?: KernelCase["needs"];
  /** Whether the kernel rounds x to halves, or may where the device has matrices. */
  readonly halfInput?: boolean | "maybe";
  /** Whether products are added up in halves, some at a time. @default false */
  readonly halfSums?: boolean;
}

/** A shape by its numbers. */
export function product(
  rows: number,
  height: number,
  width: number,
  element: Element,
  more: Partial<ProductShape> = {},
): ProductShape {
  return { rows, height, width, element, ...more };
}

/** Makes the dispatches of a case. */
export type Multiply = (arena: Arena, args: ProductOperands) => Dispatch[];

const EPS = 1e-5;

/**
 * A parity case.
 *
 * @param shape The product.
 * @param multiply The kernel.
 * @returns The case.
 */
export function productCase(
  shape: ProductShape,
  multiply: Multiply,
): KernelCase {
  return {
    ...common(shape),
    prepare(arena, random) {
      const { rows, height, width, outColumn = 0, outElement = "f32" } = shape;
      const { firstWeightRow = 0, weightRows = height - firstWeightRow } =
        shape;
      const xWidth = width * (shape.prologue === "gatedSilu" ? 2 : 1);
      const x = caseRows(arena, random, {
        rows,
        width: xWidth,
        element: shape.xElement ?? "f32",
        offset: shape.xOffset ?? 0,
        stride: shape.xExtra === undefined
          ? padded(xWidth)
          : xWidth + shape.xExtra,
        std: shape.std ?? 1,
      });
      const std = 1 / Math.sqrt(width);
      const weight = caseMatrix(arena, random, {
        ...shape,
        rows: height,
        columns: width,
        std,
      });
      const bias = shape.bias ? random.normal(height) : undefined;
      const norm = random.normal(width);
      // A row more than there are, to see it left alone.
      const before = caseRows(arena, random, {
        rows: rows + 1,
        poisoned: (row) => row === rows,
        width: weightRows,
        element: outElement,
        offset: (shape.outOffset ?? 0) + outColumn,
        stride: padded(outColumn + weightRows),
      });
      const view = { ...before.view, offset: shape.outOffset ?? 0 };
      const inputs = inputsOf(shape, x, norm);
      const answer = (i: number, j: number): number => {
        const row = firstWeightRow + j;
        let sum = bias?.[row] ?? 0;
        for (let k = 0; k < width; k++) {
          sum += weight.at(row, k) * inputs[i * width + k]!;
        }
        return shape.accumulate ? sum + before.at(i, j) : sum;
      };
      return {
        dispatches: multiply(arena, {
          x: x.view,
          rows,
          weight: weight.matrix,
          ...(bias && { bias: arena.upload("bias", bias) }),
          out: view,
          ...(shape.accumulate && { accumulate: true }),
          ...prologueOf(shape, arena, norm),
          ...(outColumn > 0 && { outColumn }),
          ...(shape.firstWeightRow !== undefined && { firstWeightRow }),
          ...(shape.weightRows !== undefined && { weightRows }),
        }),
        outputs: [rowsOutput({
          view,
          rows,
          firstColumn: outColumn,
          columns: weightRows,
          answer,
          ...(shape.accumulate && { before: before.data }),
          ...tolerance(shape),
        })],
      };
    },
  };
}

/**
 * A bench case: zeros at a real size.
 *
 * @param shape The product; offsets and parts have no effect.
 * @param multiply The kernel.
 * @returns The case.
 */
export function productBench(
  shape: ProductShape,
  multiply: Multiply,
): KernelCase {
  return {
    ...common(shape),
    prepare(arena) {
      const { rows, height, width } = shape;
      const xWidth = width * (shape.prologue === "gatedSilu" ? 2 : 1);
      return {
        dispatches: multiply(arena, {
          x: zeroRows(arena, {
            rows,
            width: xWidth,
            element: shape.xElement ?? "f32",
          }),
          rows,
          weight: zeroMatrix(arena, {
            rows: height,
            columns: width,
            element: shape.element,
          }),
          out: zeroRows(arena, { rows, width: padded(height) }),
          ...prologueOf(shape, arena, new Float32Array(width)),
        }),
        outputs: [],
      };
    },
  };
}

function common(shape: ProductShape): Omit<KernelCase, "prepare"> {
  const { rows, height, width, element, fits } = shape;
  const extras = [
    shape.prologue,
    shape.rowsPerPart && `parts of ${shape.rowsPerPart}`,
    shape.bias && "bias",
    shape.accumulate && "accumulate",
    shape.outColumn && `out column ${shape.outColumn}`,
    shape.firstWeightRow && `from row ${shape.firstWeightRow}`,
    shape.xElement === "f16" && "x f16",
    shape.xOffset && `x offset ${shape.xOffset}`,
    shape.outElement === "f16" && "out f16",
    shape.note,
  ].filter((extra) => extra);
  const needs = new Set(shape.needs ?? []);
  if (shape.xElement === "f16" || shape.outElement === "f16") needs.add("f16");
  return {
    label: [`rows ${rows} x ${height}x${width} ${element}`, ...extras]
      .join(", "),
    needs: [...needs],
    ...(fits && { fits }),
  };
}

function prologueOf(
  shape: ProductShape,
  arena: Arena,
  norm: Float32Array,
): { readonly prologue?: Prologue } {
  if (shape.prologue === undefined) return {};
  if (shape.prologue === "gatedSilu") {
    return { prologue: { kind: "gatedSilu" } };
  }
  const weight = arena.upload("norm", norm);
  return { prologue: { kind: "norm", weight, eps: EPS } };
}

/** f(x) in f64, [rows, width]. */
function inputsOf(
  shape: ProductShape,
  x: CaseRows,
  norm: Float32Array,
): Float64Array {
  const { rows, width, prologue } = shape;
  const inputs = new Float64Array(rows * width);
  for (let i = 0; i < rows; i++) {
    let squares = 0;
    for (let k = 0; k < width; k++) squares += x.at(i, k) ** 2;
    const scale = 1 / Math.sqrt(squares / width + EPS);
    for (let k = 0; k < width; k++) {
      const value = x.at(i, k);
      inputs[i * width + k] = prologue === "norm"
        ? value * scale * norm[k]!
        : prologue === "gatedSilu"
        ? value / (1 + Math.exp(-value)) * x.at(i, width + k)
        : value;
    }
  }
  if (shape.halfInput !== true) return inputs;
  return Float64Array.from(
    toFloat32(fromFloat32(Float32Array.from(inputs), "f16"), "f16"),
  );
}

function tolerance(shape: ProductShape): { atol: number; rtol: number } {
  const { std = 1, prologue, halfInput, halfSums, outElement } = shape;
  // What x is in units of its standard deviation.
  const scale = prologue === "gatedSilu" ? std ** 2 : std;
  // Chains of 16 to 32 products are off by up to 2^-9 of what they add up to.
  if (halfSums) return { atol: 4e-3 * scale, rtol: 1e-3 };
  if (outElement === "f16") return { atol: 1e-3 * scale, rtol: 1e-3 };
  // Each of x is off by up to 2^-12; signs differ.
  if (halfInput === "maybe") return { atol: 2e-3 * scale, rtol: 1e-3 };
  // Matrices add up with fewer bits than f32 has.
  if (halfInput) return { atol: 3e-5 * scale, rtol: 3e-5 };
  return { atol: 2e-6 * scale + 2e-6, rtol: 1e-5 };
}
