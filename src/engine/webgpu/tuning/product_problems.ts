// Products of decode steps and prefills, to be tuned.

import type { Gpu } from "../device/gpu.ts";
import { gemm } from "../kernels/gemm.ts";
import type { GemmTile } from "../kernels/gemm_tile.ts";
import { gemmCandidates, gemmInput, gemmTile } from "../kernels/gemm_tuning.ts";
import { gemv, type GemvArgs, gemvSquares } from "../kernels/gemv.ts";
import { squaresOf } from "../kernels/gemv_subgroup.ts";
import {
  gemvCandidates,
  type GemvForm,
  type GemvShape,
} from "../kernels/gemv_tuning.ts";
import { type Element, ELEMENT_BYTES } from "../kernels/kernel.ts";
import { gemmKey, gemvKey, rowsClass } from "../kernels/tuning_keys.ts";
import {
  distinctShapes,
  emptyRows,
  seededMatrix,
  seededRows,
  type TunedProduct,
  type TuningProblem,
} from "./tuning_problem.ts";

const EPS = 1e-5;

/** Parts of the sums of squares that a product of a step is handed. */
const SQUARES = 256;

/**
 * A gemm().
 *
 * @param size The product.
 * @param share What it is worth.
 * @param gated Whether it stores silu(gate)·up. @default false
 */
export function gemmProblem(
  size: TunedProduct,
  share: number,
  gated = false,
): TuningProblem {
  const { rows, height, width, element } = size;
  const sizeOn = (gpu: Gpu) => ({
    rows,
    height,
    width,
    element,
    input: gemmInput(gpu, element),
    gated,
  });
  return {
    family: "gemm",
    kernel: "gemm",
    key: gemmKey({ ...size, gated }),
    kin: `gemm of ${rowsClass(rows)}`,
    // Gated, it is another product than that of gemv().
    ...(gated ? {} : { product: size }),
    ...workOf(size),
    share,
    shapes: (gpu) =>
      distinctShapes([
        gemmTile(gpu, sizeOn(gpu)),
        // A software adapter has one tile.
        ...gpu.facts.software ? [] : gemmCandidates(gpu, sizeOn(gpu)),
      ]),
    tables: (shape) => ({ gemm: shape }),
    prepare(arena) {
      const input = gemmInput(arena.gpu, element);
      const x = seededRows(arena, rows, width, input, 1, 1);
      const weight = seededMatrix(arena, height, width, element);
      const out = gated
        ? emptyRows(arena, rows, height / 2, input)
        : emptyRows(arena, rows, height, "f32");
      return {
        outputs: [out],
        dispatches: (arena, shape) =>
          gemm(arena, {
            x,
            rows,
            weight,
            out,
            gated,
            tile: shape as unknown as GemmTile,
          }),
      };
    },
  };
}

/**
 * A gemv() with what comes before and after it in a step.
 *
 * @param size The product.
 * @param form What comes before and after.
 * @param share What it is worth.
 */
export function gemvProblem(
  size: TunedProduct,
  form: Extract<GemvForm, "scaled" | "residual" | "gated">,
  share: number,
): TuningProblem {
  const { rows, height, width, element } = size;
  return {
    family: "gemv",
    kernel: "gemv",
    key: gemvKey({ columns: rows, height, width, prologue: form }),
    kin: `gemv of ${rows}`,
    product: size,
    ...workOf(size),
    share,
    shapes: (gpu) =>
      distinctShapes(
        gemvCandidates(gpu, { columns: rows, height, width, form }),
      ),
    tables: (shape) => ({ gemv: shape }),
    prepare(arena) {
      const half: Element = element === "f16" ? "f16" : "f32";
      const x = seededRows(arena, rows, width, half, 1, 1);
      const weight = seededMatrix(arena, height, width, element);
      const isGated = form === "gated";
      const out = emptyRows(
        arena,
        rows,
        isGated ? height / 2 : height,
        isGated ? half : "f32",
      );
      const y = emptyRows(arena, rows, height, half);
      const norm = seededRows(arena, 1, height, "f32", 1, 3).buffer;
      const squares = squaresOf(arena, rows, SQUARES);
      const sums = new Float32Array(rows * squares.stride);
      arena.gpu.write(squares.buffer, 0, sums.fill(width / SQUARES));
      return {
        outputs: form === "residual" ? [out, y] : [out],
        dispatches: (arena, tuned) => {
          const shape = tuned as unknown as GemvShape;
          const args: GemvArgs = { x, rows, weight, out, shape };
          if (form === "residual") {
            const next = {
              weight: norm,
              y,
              squares: gemvSquares(arena, { rows, weight, shape }),
            };
            return gemv(arena, {
              ...args,
              epilogue: { kind: "residual", next },
            });
          }
          return gemv(arena, {
            ...args,
            prologue: { kind: "scaled", squares, eps: EPS },
            ...(isGated ? { epilogue: { kind: "gated" } as const } : {}),
          });
        },
      };
    },
  };
}

function workOf({ rows, height, width, element }: TunedProduct): {
  readonly bytes: number;
  readonly flops: number;
  readonly inputBytes: number;
} {
  const weights = height * width * ELEMENT_BYTES[element];
  const bytes = weights + rows * (width * ELEMENT_BYTES[element] + 4 * height);
  return { bytes, flops: 2 * rows * height * width, inputBytes: weights };
}
