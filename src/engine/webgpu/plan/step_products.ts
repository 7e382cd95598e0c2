// The products of a decode step, around its attention. Few sequences: GEMVs alone,
// each of which makes ready what the next one reads, so that norms, gates and sums
// take no dispatch of their own. Many: norms and gates between GEMMs, which make them
// too where they are of matrices.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { embed } from "../kernels/embed.ts";
import { gatedSilu } from "../kernels/gated_silu.ts";
import { gemv, gemvSquares } from "../kernels/gemv.ts";
import {
  type Epilogue,
  type Squares,
  squaresOf,
} from "../kernels/gemv_subgroup.ts";
import { fusedStepRows } from "../kernels/gemv_tuning.ts";
import { named, type View } from "../kernels/kernel.ts";
import { linear } from "../kernels/linear.ts";
import type { GpuModel } from "./gpu_model.ts";
import type { GpuLinear } from "./matrix_upload.ts";
import { hasMatrixProducts, matrixProducts } from "./matrix_products.ts";
import { type Scratch, scratchOf } from "./scratch.ts";

/** A step but for its attention, in the order in which it runs. */
export interface StepProducts {
  /** What the layers' attention reads and writes: `projection`, `heads`. */
  scratch(layer: number): Scratch;
  embed(): Dispatch[];
  /** The normed residual stream to `projection`. */
  project(layer: number): Dispatch[];
  /** `heads` to the residual stream. */
  output(layer: number): Dispatch[];
  mlp(layer: number): Dispatch[];
  head(): Dispatch[];
}

/** Where a step begins and ends. */
export interface StepEnds {
  /** Sequences. */
  readonly batch: number;
  /** The token that each is fed, u32 [B]. */
  readonly tokens: GPUBuffer;
  /** [B, V] */
  readonly logits: View;
}

/**
 * The products of a step, by the kernels that are fastest for its batch.
 *
 * @param arena Owns their buffers.
 * @param model The model.
 * @param ends Where the step begins and ends.
 */
export function stepProducts(
  arena: Arena,
  model: GpuModel,
  ends: StepEnds,
): StepProducts {
  return ends.batch <= fusedStepRows(arena.gpu, model.element)
    ? fusedProducts(arena, model, ends)
    : hasMatrixProducts(arena, model, ends.batch)
    ? matrixProducts(arena, model, ends)
    : separateProducts(arena, model, ends);
}

function fusedProducts(
  arena: Arena,
  model: GpuModel,
  { batch: rows, tokens, logits }: StepEnds,
): StepProducts {
  const { layers, rmsNormEps: eps } = model;
  const scratch = scratchOf(arena, model, rows, model.element);
  const { x, y } = scratch(0);
  const embedded = squaresOf(arena, rows, 1);
  const sums = new Map<string, Squares>();
  const squaresAfter = (product: GpuLinear): Squares => {
    const { weight } = product;
    const key = `${weight.parts.map(({ rows }) => rows)} x ${weight.columns}`;
    let squares = sums.get(key);
    if (squares === undefined) {
      sums.set(key, squares = gemvSquares(arena, { rows, weight }));
    }
    return squares;
  };
  const normAfter = (layer: number) =>
    layers[layer + 1]?.inputNorm ?? model.finalNorm;
  const beforeLayer = (layer: number) =>
    layer === 0 ? embedded : squaresAfter(layers[layer - 1]!.downProj);
  const scaled = (squares: Squares) => ({
    x: y,
    rows,
    prologue: { kind: "scaled", squares, eps } as const,
  });
  const residual = (product: GpuLinear, weight: GPUBuffer) => ({
    rows,
    ...product,
    out: x,
    epilogue: {
      kind: "residual",
      next: { weight, y, squares: squaresAfter(product) },
    } satisfies Epilogue,
  });
  return {
    scratch,
    embed: () =>
      embed(arena, {
        table: model.embedTokens,
        tokens,
        out: x,
        rows,
        next: {
          weight: layers[0]?.inputNorm ?? model.finalNorm,
          y,
          squares: embedded,
        },
      }),
    project: (layer) =>
      named(
        "qkvProj",
        gemv(arena, {
          ...scaled(beforeLayer(layer)),
          ...layers[layer]!.projection,
          out: scratch(layer).projection,
        }),
      ),
    output(layer) {
      const { oProj, postAttentionNorm } = layers[layer]!;
      return named(
        "oProj",
        gemv(arena, {
          x: scratch(layer).heads,
          ...residual(oProj, postAttentionNorm),
        }),
      );
    },
    mlp(layer) {
      const { oProj, gateUp, downProj, intermediateSize } = layers[layer]!;
      const { gateUp: both, gated } = scratch(layer);
      const product = { ...scaled(squaresAfter(oProj)), ...gateUp };
      // Where gate and up lie in several buffers, no group has a row of both.
      const whole = gateUp.weight.parts.length === 1;
      return [
        ...named(
          "gateUp",
          whole
            ? gemv(arena, {
              ...product,
              out: gated,
              epilogue: { kind: "gated" },
            })
            : gemv(arena, { ...product, out: both }),
        ),
        ...whole ? [] : gatedSilu(arena, {
          x: both,
          out: gated,
          rows,
          width: intermediateSize,
        }),
        ...named(
          "downProj",
          gemv(arena, { x: gated, ...residual(downProj, normAfter(layer)) }),
        ),
      ];
    },
    head: () =>
      named(
        "lmHead",
        gemv(arena, {
          ...scaled(beforeLayer(layers.length)),
          weight: model.lmHead,
          out: logits,
        }),
      ),
  };
}

function separateProducts(
  arena: Arena,
  model: GpuModel,
  { batch: rows, tokens, logits }: StepEnds,
): StepProducts {
  const { layers, rmsNormEps: eps } = model;
  const scratch = scratchOf(arena, model, rows, model.element);
  const { x, y } = scratch(0);
  const normed = (weight: GPUBuffer) => ({
    x,
    rows,
    prologue: { kind: "norm", weight, eps } as const,
    scratch: y,
  });
  return {
    scratch,
    embed: () =>
      embed(arena, { table: model.embedTokens, tokens, out: x, rows }),
    project(layer) {
      const { inputNorm, projection } = layers[layer]!;
      return named(
        "qkvProj",
        linear(arena, {
          ...normed(inputNorm),
          ...projection,
          out: scratch(layer).projection,
        }),
      );
    },
    output(layer) {
      const { oProj } = layers[layer]!;
      const { heads } = scratch(layer);
      return named(
        "oProj",
        linear(arena, { x: heads, rows, ...oProj, out: x, accumulate: true }),
      );
    },
    mlp(layer) {
      const { postAttentionNorm, gateUp, downProj } = layers[layer]!;
      const { gateUp: both, gated } = scratch(layer);
      return [
        ...named(
          "gateUp",
          linear(arena, { ...normed(postAttentionNorm), ...gateUp, out: both }),
        ),
        ...named(
          "downProj",
          linear(arena, {
            x: both,
            rows,
            ...downProj,
            out: x,
            accumulate: true,
            prologue: { kind: "gatedSilu" },
            scratch: gated,
          }),
        ),
      ];
    },
    head: () =>
      named(
        "lmHead",
        linear(arena, {
          ...normed(model.finalNorm),
          weight: model.lmHead,
          out: logits,
        }),
      ),
  };
}
