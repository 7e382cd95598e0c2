// The products of a decode step of many sequences where matrices multiply halves:
// each stores what the next one reads, gated or normed, in halves.

import type { Arena } from "../device/gpu.ts";
import { embed } from "../kernels/embed.ts";
import { gemm } from "../kernels/gemm.ts";
import { gemmGates } from "../kernels/gemm_tuning.ts";
import { gemvRows } from "../kernels/gemv_tuning.ts";
import { named } from "../kernels/kernel.ts";
import { rmsNorm } from "../kernels/rms_norm.ts";
import type { GpuModel } from "./gpu_model.ts";
import { scratchOf } from "./scratch.ts";
import type { StepEnds, StepProducts } from "./step_products.ts";

/**
 * Whether a step's products can be matrixProducts().
 *
 * @param arena Of the device.
 * @param model The model.
 * @param batch Sequences.
 */
export function hasMatrixProducts(
  { gpu }: Arena,
  { element, layers }: GpuModel,
  batch: number,
): boolean {
  return element === "f16" && layers.length > 0 &&
    batch > gemvRows(gpu, element) &&
    layers.every(({ gateUp: { weight, bias } }) =>
      bias === undefined && gemmGates(gpu, weight)
    );
}

/**
 * The products of a step by gemm() alone.
 *
 * @param arena Owns their buffers.
 * @param model The model: hasMatrixProducts().
 * @param ends Where the step begins and ends.
 */
export function matrixProducts(
  arena: Arena,
  model: GpuModel,
  { batch: rows, tokens, logits }: StepEnds,
): StepProducts {
  const { layers, rmsNormEps: eps } = model;
  const scratch = scratchOf(arena, model, rows, "f16");
  const { x, y } = scratch(0);
  const normOf = (layer: number) => layers[layer]?.inputNorm ?? model.finalNorm;
  const added = (weight: GPUBuffer) => ({
    rows,
    out: x,
    accumulate: true,
    next: { weight, out: y, eps },
  });
  return {
    scratch,
    embed: () => [
      ...embed(arena, { table: model.embedTokens, tokens, out: x, rows }),
      ...rmsNorm(arena, {
        x,
        weight: normOf(0),
        out: y,
        rows,
        width: model.hiddenSize,
        eps,
      }),
    ],
    project(layer) {
      const { projection } = scratch(layer);
      const product = layers[layer]!.projection;
      return named(
        "qkvProj",
        gemm(arena, { x: y, rows, ...product, out: projection }),
      );
    },
    output(layer) {
      const { oProj, postAttentionNorm } = layers[layer]!;
      const { heads } = scratch(layer);
      return named(
        "oProj",
        gemm(arena, { x: heads, ...oProj, ...added(postAttentionNorm) }),
      );
    },
    mlp(layer) {
      const { gateUp, downProj } = layers[layer]!;
      const { gated } = scratch(layer);
      return [
        ...named(
          "gateUp",
          gemm(arena, { x: y, rows, ...gateUp, out: gated, gated: true }),
        ),
        ...named(
          "downProj",
          gemm(arena, { x: gated, ...downProj, ...added(normOf(layer + 1)) }),
        ),
      ];
    },
    head: () =>
      named(
        "lmHead",
        gemm(arena, { x: y, rows, weight: model.lmHead, out: logits }),
      ),
  };
}
