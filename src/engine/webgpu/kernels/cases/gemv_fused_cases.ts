// Cases of gemv() inside a decode step: rows that come without the norm's scale,
// gates and the residual stream on the way out.

import type { Arena, Gpu } from "../../device/gpu.ts";
import { caseMatrix, rowsOutput, zeroMatrix } from "./case_matrix.ts";
import { caseRows, zeroRows } from "./case_rows.ts";
import { gemv, type GemvArgs, gemvSquares } from "../gemv.ts";
import { type NextNorm, type Squares, squaresOf } from "../gemv_subgroup.ts";
import {
  fitsShape,
  type GemvForm,
  type GemvShape,
  gemvShape,
} from "../gemv_tuning.ts";
import { type Element, padded } from "../kernel.ts";
import type { CaseOutput, CaseRandom, KernelCase } from "./kernel_case.ts";

/** What a product of a decode step does besides. */
export interface FusedShape {
  /** Rows of x, rows and columns of W. */
  readonly rows: number;
  readonly height: number;
  readonly width: number;
  readonly element: Element;
  /** Of x, and of what is written for the next product. @default that of the weights */
  readonly activation?: Element;
  readonly scaled?: boolean;
  readonly epilogue?: "gated" | "residual";
  readonly bias?: boolean;
  readonly rowsPerPart?: number;
  readonly outColumn?: number;
  readonly outElement?: Element;
  /** Parts of the sums of squares on the way in. @default 1 */
  readonly count?: number;
  readonly std?: number;
  readonly shape?: Omit<GemvShape, "subgroups">;
  readonly note?: string;
}

const EPS = 1e-5;

/**
 * A parity case.
 *
 * @param shape The product.
 * @returns The case.
 */
export function fusedCase(shape: FusedShape): KernelCase {
  const { rows, width, element, activation = element, std = 1 } = shape;
  return {
    ...common(shape),
    prepare(arena, random) {
      const x = caseRows(arena, random, {
        rows,
        width,
        element: activation,
        stride: padded(width),
        std,
      });
      const weight = caseMatrix(arena, random, {
        ...shape,
        rows: shape.height,
        columns: width,
        std: 1 / Math.sqrt(width),
      });
      const bias = shape.bias ? random.normal(shape.height) : undefined;
      const { squares, scales } = squaresCase(arena, random, shape);
      const product = (i: number, row: number): number => {
        let sum = 0;
        for (let k = 0; k < width; k++) sum += weight.at(row, k) * x.at(i, k);
        return sum * scales[i]! + (bias?.[row] ?? 0);
      };
      const { epilogue } = shape;
      const outWidth = widthOf(shape);
      const outElement = outElementOf(shape);
      const { outColumn = 0 } = shape;
      // A row more than there are, to see it left alone.
      const before = caseRows(arena, random, {
        rows: rows + 1,
        poisoned: (row) => row === rows,
        width: outWidth,
        element: outElement,
        offset: outColumn,
        stride: padded(outColumn + outWidth),
        std,
      });
      const view = { ...before.view, offset: 0 };
      const answer = (i: number, j: number): number => {
        if (epilogue !== "gated") {
          return product(i, j) +
            (epilogue === "residual" ? before.at(i, j) : 0);
        }
        const gate = product(i, j);
        return gate / (1 + Math.exp(-gate)) * product(i, outWidth + j);
      };
      const next = epilogue === "residual"
        ? nextCase(arena, random, shape, answer)
        : undefined;
      const scale = std * (epilogue === "gated" ? 4 : 1);
      return {
        dispatches: gemv(arena, {
          ...argsOf(shape),
          x: x.view,
          weight: weight.matrix,
          ...(bias && { bias: arena.upload("bias", bias) }),
          out: view,
          ...(squares && { prologue: { kind: "scaled", squares, eps: EPS } }),
          ...(epilogue === "gated" && { epilogue: { kind: "gated" } }),
          ...(next && { epilogue: { kind: "residual", next: next.next } }),
        }),
        outputs: [
          rowsOutput({
            view,
            rows,
            firstColumn: outColumn,
            columns: outWidth,
            answer,
            ...(epilogue === "residual" && { before: before.data }),
            ...tolerance(outElement, scale),
          }),
          ...(next?.outputs ?? []),
        ],
      };
    },
  };
}

/**
 * A bench case: zeros at a real size.
 *
 * @param shape The product; parts have no effect.
 * @returns The case.
 */
export function fusedBench(shape: FusedShape): KernelCase {
  const { rows, height, width, element, activation = element } = shape;
  return {
    ...common(shape),
    prepare(arena) {
      const weight = zeroMatrix(arena, {
        rows: height,
        columns: width,
        element,
      });
      const next: NextNorm | undefined = shape.epilogue === "residual"
        ? {
          weight: arena.buffer("norm", 4 * height),
          y: zeroRows(arena, { rows, width: height, element: activation }),
          squares: gemvSquares(arena, { ...argsOf(shape), weight }),
        }
        : undefined;
      const squares = shape.scaled
        ? squaresOf(arena, rows, shape.count ?? 1)
        : undefined;
      return {
        dispatches: gemv(arena, {
          ...argsOf(shape),
          x: zeroRows(arena, { rows, width, element: activation }),
          weight,
          out: zeroRows(arena, {
            rows,
            width: padded(widthOf(shape)),
            element: outElementOf(shape),
          }),
          ...(squares && { prologue: { kind: "scaled", squares, eps: EPS } }),
          ...(shape.epilogue === "gated" && { epilogue: { kind: "gated" } }),
          ...(next && { epilogue: { kind: "residual", next } }),
        }),
        outputs: [],
      };
    },
  };
}

/** What the shape of a product like this depends on. */
export function formOf(shape: FusedShape): GemvForm {
  return shape.epilogue ?? (shape.scaled ? "scaled" : "plain");
}

function common(shape: FusedShape): Omit<KernelCase, "prepare"> {
  const { rows, height, width, element, activation = element } = shape;
  const extras = [
    shape.scaled && `scaled by ${shape.count ?? 1}`,
    shape.epilogue,
    shape.rowsPerPart && `parts of ${shape.rowsPerPart}`,
    shape.bias && "bias",
    shape.outColumn && `out column ${shape.outColumn}`,
    activation !== element && `x ${activation}`,
    shape.std && `std ${shape.std}`,
    shape.note,
  ].filter((extra) => extra);
  const halves = [activation, outElementOf(shape)].includes("f16");
  return {
    label: [`rows ${rows} x ${height}x${width} ${element}`, ...extras]
      .join(", "),
    needs: halves ? ["f16", "subgroups"] : ["subgroups"],
    fits: (gpu: Gpu) =>
      fitsShape(gpu, { subgroups: true, threads: 0, ...shape.shape }),
  };
}

function argsOf(
  { rows, outColumn, shape }: FusedShape,
): Pick<GemvArgs, "rows" | "outColumn" | "shape"> {
  return {
    rows,
    ...(outColumn !== undefined && { outColumn }),
    ...(shape && { shape: { ...shape, subgroups: true } }),
  };
}

function widthOf({ height, epilogue }: FusedShape): number {
  return epilogue === "gated" ? height / 2 : height;
}

function outElementOf(shape: FusedShape): Element {
  const { element, activation = element } = shape;
  return shape.outElement ?? (shape.epilogue === "gated" ? activation : "f32");
}

/** Sums of squares in parts, and the scale that they make. */
function squaresCase(
  arena: Arena,
  random: CaseRandom,
  { rows, width, scaled, count = 1, std = 1 }: FusedShape,
): { squares?: Squares; scales: number[] } {
  if (!scaled) return { scales: Array(rows).fill(1) };
  const made = squaresOf(arena, rows, count);
  const parts = random.normal(rows * count).map((part) =>
    part ** 2 * std ** 2 * width / count
  );
  const padding = new Float32Array(rows * made.stride);
  const scales: number[] = [];
  for (let i = 0; i < rows; i++) {
    const row = parts.subarray(i * count, (i + 1) * count);
    padding.set(row, i * made.stride);
    const sum = row.reduce((sum, part) => sum + part, 0);
    scales.push(1 / Math.sqrt(sum / width + EPS));
  }
  const buffer = arena.upload("squares", padding);
  return { squares: { ...made, buffer }, scales };
}

function nextCase(
  arena: Arena,
  random: CaseRandom,
  shape: FusedShape,
  answer: (i: number, j: number) => number,
): { next: NextNorm; outputs: CaseOutput[] } {
  const { rows, height, element, activation = element, std = 1 } = shape;
  const norm = random.normal(height);
  const y = zeroRows(arena, {
    rows: rows + 1,
    width: height,
    element: activation,
    offset: 8,
    stride: padded(height),
  });
  const parts = partsOf(shape);
  const chosen = argsOf(shape).shape ??
    gemvShape(arena.gpu, {
      columns: rows,
      height,
      width: shape.width,
      form: "residual",
    });
  // A sum for the rows of W of each workgroup.
  const groups = parts.flatMap(({ firstRow, rows: partRows }) => {
    const per = chosen.rows * chosen.threads / arena.gpu.facts.subgroupSize;
    return Array.from({ length: Math.ceil(partRows / per) }, (_, g) => ({
      start: firstRow + g * per,
      end: firstRow + Math.min(partRows, (g + 1) * per),
    }));
  });
  const squares = squaresOf(arena, rows, groups.length);
  const sums = new Float64Array(rows * squares.stride).fill(NaN);
  for (let i = 0; i < rows; i++) {
    for (const [g, { start, end }] of groups.entries()) {
      let sum = 0;
      for (let j = start; j < end; j++) sum += answer(i, j) ** 2;
      sums[i * squares.stride + g] = sum;
    }
  }
  return {
    next: { weight: arena.upload("norm", norm), y, squares },
    outputs: [{
      ...rowsOutput({
        view: y,
        rows,
        columns: height,
        answer: (i, j) => answer(i, j) * norm[j]!,
        ...tolerance(activation, 4 * std),
      }),
      name: "y",
    }, {
      name: "squares",
      buffer: squares.buffer,
      element: "f32",
      expected: sums,
      ...tolerance("f32", 10 * std ** 2),
    }],
  };
}

function partsOf(
  { height, rowsPerPart = height }: FusedShape,
): { firstRow: number; rows: number }[] {
  const parts: { firstRow: number; rows: number }[] = [];
  for (let firstRow = 0; firstRow < height; firstRow += rowsPerPart) {
    parts.push({ firstRow, rows: Math.min(rowsPerPart, height - firstRow) });
  }
  return parts;
}

function tolerance(
  element: Element,
  scale: number,
): { atol: number; rtol: number } {
  if (element === "f16") return { atol: 1e-3 * scale, rtol: 1e-3 };
  return { atol: 4e-6 * scale, rtol: 1e-5 };
}
