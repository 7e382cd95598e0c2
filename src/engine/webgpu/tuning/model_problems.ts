// What there is to tune for a model: the products and the attention of its decode
// steps, and the products of its prefill, each with its share of the time.

import type { ModelConfig } from "../../../model/config.ts";
import { gemmInput } from "../kernels/gemm_tuning.ts";
import { hasFusedGemv, MOST_GEMV_ROWS } from "../kernels/gemv_tuning.ts";
import type { Gpu } from "../device/gpu.ts";
import { type Element, ELEMENT_BYTES } from "../kernels/kernel.ts";
import { attentionProblem } from "./attention_problems.ts";
import { gemmProblem, gemvProblem } from "./product_problems.ts";
import type { TuningProblem } from "./tuning_problem.ts";

/** Which sizes are tuned. */
export interface TuningScope {
  readonly config: ModelConfig;
  /** Element type of weights and cache. */
  readonly element: Element;
  /** Latent attention that the model is converted to. */
  readonly latent: { readonly rank: number; readonly rotary: number };
  readonly batches: readonly number[];
  /** Ascending. */
  readonly contexts: readonly number[];
  /** Rows of a prefill; 0: none. */
  readonly prefillRows: number;
}

/** Bytes of a layer's cache in the paper's smallest budget, less the weights. */
const CACHED_BYTES = 2 ** 18 * 1152;

/** A GPU's memory and arithmetic, for what a problem is worth; nothing is measured by them. */
const BYTES_PER_SECOND = 3e12;
const FLOPS_PER_SECOND = 1.5e14;
/** Of a dispatch, however small. */
const START_SECONDS = 5e-6;

/** What a problem takes of a step. */
interface Part {
  readonly times: number;
  /** By its share of the step's time. */
  readonly problem: (share: number) => TuningProblem;
}

/**
 * All problems of a model, the most valuable first.
 *
 * @param gpu The device.
 * @param scope The sizes.
 */
export function modelProblems(gpu: Gpu, scope: TuningScope): TuningProblem[] {
  const problems = new Map<string, TuningProblem>();
  const steps = [
    ...scope.batches.flatMap((batch) => [
      ...stepsOf(gpu, scope, batch, undefined),
      ...stepsOf(gpu, scope, batch, scope.latent),
    ]),
    ...(scope.prefillRows > 0
      ? [
        prefillParts(gpu, scope, undefined),
        prefillParts(gpu, scope, scope.latent),
      ]
      : []),
  ];
  for (const parts of steps) {
    const total = parts.reduce((sum, part) => sum + timeOf(part), 0);
    for (const part of parts) {
      const problem = part.problem(timeOf(part) / total);
      const { kernel, key, share } = problem;
      const name = `${kernel} ${key}`;
      // The first of equal keys is tuned; what the others are worth it is, too.
      const known = problems.get(name);
      if (known === undefined) problems.set(name, problem);
      else problems.set(name, { ...known, share: known.share + share });
    }
  }
  return [...problems.values()].sort((a, b) => b.share - a.share);
}

function timeOf({ times, problem }: Part): number {
  const { bytes, flops } = problem(0);
  const limit = Math.max(bytes / BYTES_PER_SECOND, flops / FLOPS_PER_SECOND);
  return times * (limit + START_SECONDS);
}

/** A matrix that all layers have, or the head. */
interface Matrix {
  readonly height: number;
  readonly width: number;
  readonly times: number;
  readonly form: "scaled" | "residual" | "gated";
}

type Latent = TuningScope["latent"] | undefined;

function matricesOf({ config }: TuningScope, latent: Latent): Matrix[] {
  const {
    hiddenSize: D,
    intermediateSize: I,
    numHiddenLayers: times,
    numAttentionHeads: H,
    numKeyValueHeads: G,
    headDim: d,
  } = config;
  const projection = latent === undefined
    ? (H + 2 * G) * d
    // Queries with a rotary part of their own, and the latent.
    : H * (d + latent.rotary) + latent.rank + latent.rotary;
  return [
    { height: projection, width: D, times, form: "scaled" },
    { height: D, width: H * d, times, form: "residual" },
    { height: 2 * I, width: D, times, form: "gated" },
    { height: D, width: I, times, form: "residual" },
    { height: config.vocabSize, width: D, times: 1, form: "scaled" },
  ];
}

/** A step at each of the contexts that a batch is decoded at. */
function stepsOf(
  gpu: Gpu,
  scope: TuningScope,
  batch: number,
  latent: Latent,
): Part[][] {
  const { config, element, contexts } = scope;
  const { numAttentionHeads, numKeyValueHeads, headDim, numHiddenLayers } =
    config;
  const width = latent === undefined
    ? 2 * numKeyValueHeads * headDim
    : latent.rank + latent.rotary;
  const most = CACHED_BYTES / (batch * width * ELEMENT_BYTES[element]);
  // A batch is as large as its context allows, which depends on what the weights
  // leave; one sequence has any.
  const used = batch === 1
    ? contexts
    : contexts.filter((context) => context <= most).slice(-2);
  return used.map((context) => [
    ...productParts(gpu, scope, batch, latent),
    {
      times: numHiddenLayers,
      problem: (share) =>
        attentionProblem({
          heads: numAttentionHeads,
          groups: numKeyValueHeads,
          value: headDim,
          ...(latent && { latent }),
          element,
          batch,
          context,
        }, share),
    },
  ]);
}

/** Dispatches around a product where gemv() does not do their work. */
const AROUND = { scaled: 1, residual: 0, gated: 2 } as const;

function productParts(
  gpu: Gpu,
  scope: TuningScope,
  batch: number,
  latent: Latent,
): Part[] {
  const { element } = scope;
  return matricesOf(scope, latent).flatMap(
    ({ height, width, times, form }): Part[] => {
      const around = AROUND[form];
      const size = { rows: batch, height, width, element, times, around };
      // For few rows both are timed, as tables say up to how many gemv() is taken.
      const isFew = batch <= MOST_GEMV_ROWS;
      const byGemv: Part = {
        times,
        problem: (share) => gemvProblem(size, form, share),
      };
      const rows = isFew ? MOST_GEMV_ROWS : batch;
      const byGemm: Part = {
        times,
        problem: (share) => gemmProblem({ ...size, rows }, share),
      };
      const gates: Part[] = hasGates(gpu, scope, form)
        ? [{
          times,
          problem: (share) => gemmProblem({ ...size, rows }, share, true),
        }]
        : [];
      if (!isFew || !hasFusedGemv(gpu)) return [byGemm, ...gates];
      return batch === 1 ? [byGemv] : [byGemv, byGemm, ...gates];
    },
  );
}

function prefillParts(gpu: Gpu, scope: TuningScope, latent: Latent): Part[] {
  const { prefillRows: rows, element } = scope;
  return matricesOf(scope, latent).flatMap(
    ({ height, width, times, form }): Part[] => {
      const around = AROUND[form];
      const size = { rows, height, width, element, times, around };
      return (hasGates(gpu, scope, form) ? [false, true] : [false])
        .map((gated) => ({
          times,
          problem: (share) => gemmProblem(size, share, gated),
        }));
    },
  );
}

/** Whether gate and up can be one gemm() with what follows. */
function hasGates(
  gpu: Gpu,
  { config, element }: TuningScope,
  form: Matrix["form"],
): boolean {
  return form === "gated" && gemmInput(gpu, element) === "f16" &&
    config.intermediateSize % 4 === 0;
}
