// Partial RoPE: merged heads, RoRoPE and FreqFold, nothing compressed yet. The
// first of TransMLA's two stages, and a variant of its own for ablations
// (arXiv 2502.07864 §4.1-4.2, Fig. 3b; official partial_rope.py).

import { z } from "zod";
import type { Matrix64 } from "../../base/tensor.ts";
import { toTensor } from "../../base/tensor.ts";
import { rowBlock, rowProducts, trace } from "../../linalg/blocks.ts";
import { gemm64 } from "../../linalg/gemm.ts";
import type {
  DecoderModel,
  GqaAttention,
  PartialRopeAttention,
} from "../../model/decoder.ts";
import type { ModelMoments } from "../../model/moments.ts";
import { AttentionStore } from "../attention_store.ts";
import { convertedModel, originalAttention } from "../converted_model.ts";
import {
  type FreqFold,
  freqFoldOf,
  retainedFrequencies,
} from "../freq_fold.ts";
import { keyGram } from "../key_value_gram.ts";
import { memoized } from "../layer_memo.ts";
import { affineMatrix, linearOf } from "../merge_heads.ts";
import type { Conversion, ConversionContext, Method } from "../method.ts";
import { roRopeRotations, rotationBasis } from "../ro_rope.ts";

/** The options that partial RoPE and TransMLA share. */
export const ROTARY_OPTIONS = {
  freqFold: z.union([z.int().min(1), z.literal("auto")]).default("auto")
    .describe(
      "F, neighboring frequencies treated as equal; divides headDim/2. auto: doubled while held-out NLL improves",
    ),
  qkRopeHeadDim: z.int().min(2).default(64)
    .describe("m, dims of the merged key that keep RoPE; divides headDim"),
  rope: z.boolean().default(true)
    .describe("false: RoPE removed everywhere, for checks and ablations"),
} as const;

const options = z.strictObject(ROTARY_OPTIONS);

/** Options of `partial-rope`. */
export type PartialRopeOptions = z.infer<typeof options>;

/** The same with F chosen. */
export interface ResolvedRotary {
  readonly freqFold: number;
  readonly qkRopeHeadDim: number;
  readonly rope: boolean;
}

/** One layer's rotated keys, f64. */
export interface RotatedKeys {
  /** P, `[G·d, G·d]` */
  readonly basis: Matrix64;
  /** P [W_k | b_k], `[G·d, D+1]` */
  readonly keys: Matrix64;
  /** Of the rotary part, `[m/2]`. */
  readonly frequencies: Float64Array;
  /** Share of the key energy in the rotary part, in the moments that P is made from, 0-1. */
  readonly rotaryKeyEnergy: number;
}

/**
 * Refuses rotary options that the model's heads cannot have.
 *
 * @param options F and m.
 * @param sizes G and d.
 * @param place What is converted, for the error.
 * @throws {RangeError} With the value and those allowed.
 */
export function checkRotary(
  options: Pick<PartialRopeOptions, "freqFold" | "qkRopeHeadDim">,
  sizes: { readonly numKeyValueHeads: number; readonly headDim: number },
  place?: string,
): void {
  const { freqFold, qkRopeHeadDim } = options;
  // With auto the smallest choice, F = C, must be possible; if m is, it is tried first.
  const smallest = freqFold === "auto"
    ? Math.max(1, Math.floor(sizes.headDim / qkRopeHeadDim))
    : freqFold;
  freqFoldOf(smallest, qkRopeHeadDim, sizes, place);
}

/**
 * Rotates a layer's merged keys by RoRoPE.
 *
 * @param model The original.
 * @param layer Layer index.
 * @param attention That layer's attention.
 * @param moments Of the original.
 * @param options F, m and whether RoPE stays.
 * @returns The rotated keys.
 */
export async function rotateKeys(
  model: DecoderModel,
  layer: number,
  attention: GqaAttention,
  moments: ModelMoments,
  options: ResolvedRotary,
): Promise<RotatedKeys> {
  const { freqFold, qkRopeHeadDim } = options;
  const fold = freqFoldOf(freqFold, qkRopeHeadDim, attention, `layer ${layer}`);
  // The rotations are kept and not the basis, which is mostly zeros.
  const { rotations, rotaryKeyEnergy } = await memoized(
    model,
    `rotations ${moments.sha256} ${layer} ${freqFold} ${fold.collapse}`,
    ({ rotations }) =>
      rotations.reduce((bytes, { data }) => bytes + data.byteLength, 0),
    async () => {
      const gram = await keyGram(model, layer, attention, moments);
      const rotations = roRopeRotations(gram, fold);
      return {
        rotations,
        rotaryKeyEnergy: await energyOfFirst(
          qkRopeHeadDim,
          rotationBasis(rotations, fold),
          gram,
        ),
      };
    },
  );
  const basis = rotationBasis(rotations, fold);
  return {
    basis,
    rotaryKeyEnergy,
    keys: await gemm64(basis, affineMatrix(attention.kProj)),
    frequencies: rotaryFrequencies(attention, fold, options.rope),
  };
}

/** Share of the energy P G P^T that its first m dims hold; P is orthogonal. */
async function energyOfFirst(
  m: number,
  basis: Matrix64,
  gram: Matrix64,
): Promise<number> {
  const rows = rowBlock(basis, 0, m);
  const held = rowProducts(await gemm64(rows, gram), rows)
    .reduce((sum, energy) => sum + energy, 0);
  const total = trace(gram);
  return total > 0 ? held / total : 1;
}

function rotaryFrequencies(
  attention: GqaAttention,
  fold: FreqFold,
  rope: boolean,
): Float64Array {
  const kept = retainedFrequencies(attention.rotary.frequencies, fold);
  return rope ? kept : kept.fill(0);
}

/**
 * The layer's attention over rotated keys. With F = C = 1 and one key-value head
 * it computes the original's scores; without RoPE it does with any F.
 *
 * @param attention The original.
 * @param rotated From rotateKeys().
 * @returns Attention with RoPE on the first m dims of the merged key.
 */
export function partialRopeAttention(
  attention: GqaAttention,
  { basis, keys, frequencies }: RotatedKeys,
): PartialRopeAttention {
  return {
    kind: "partialRope",
    numAttentionHeads: attention.numAttentionHeads,
    numKeyValueHeads: attention.numKeyValueHeads,
    headDim: attention.headDim,
    qkRopeHeadDim: 2 * frequencies.length,
    softmaxScale: attention.softmaxScale,
    rotary: { layout: "interleaved", frequencies },
    qProj: attention.qProj,
    kProj: linearOf(keys, attention.kProj.bias !== undefined),
    keyBasis: toTensor(basis),
    vProj: attention.vProj,
    oProj: attention.oProj,
  };
}

/**
 * Converts every layer, F being chosen.
 *
 * @param model The original.
 * @param options F, m and whether RoPE stays.
 * @param moments Of the original.
 * @param progress Layers done of all.
 * @returns The partial-RoPE model.
 */
export async function toPartialRope(
  model: DecoderModel,
  options: ResolvedRotary,
  moments: ModelMoments,
  progress?: ConversionContext["progress"],
): Promise<Conversion> {
  const { numHiddenLayers } = model.config;
  const attentions = new AttentionStore(numHiddenLayers);
  const layers = [];
  for (let layer = 0; layer < numHiddenLayers; layer++) {
    const attention = await originalAttention(model, layer);
    const rotated = await rotateKeys(model, layer, attention, moments, options);
    const converted = partialRopeAttention(attention, rotated);
    await attentions.put(layer, converted, attention);
    layers.push({ layer, rotaryKeyEnergy: rotated.rotaryKeyEnergy });
    progress?.("rotate keys", layer + 1, numHiddenLayers);
  }
  const resolved = {
    ...options,
    collapse: model.config.headDim / options.qkRopeHeadDim,
  };
  const identity = {
    method: partialRope.name,
    options: resolved,
    moments: [moments.sha256],
  };
  return {
    model: convertedModel(model, identity, attentions),
    resolved,
    layers,
  };
}

/**
 * F as asked for, or chosen: from F = C, doubled while the partial-RoPE model's
 * NLL on held-out calibration text improves and F divides d/2.
 *
 * Differs from official: chosen on held-out calibration text, there on the test set.
 *
 * @param model The original.
 * @param options F or "auto", m, whether RoPE stays.
 * @param moments Of the original.
 * @param context Gives the held-out NLL.
 * @returns The options with F.
 */
export async function resolveRotary(
  model: DecoderModel,
  options: PartialRopeOptions,
  moments: ModelMoments,
  context: ConversionContext,
): Promise<ResolvedRotary> {
  const { freqFold, qkRopeHeadDim, rope } = options;
  if (freqFold !== "auto") return { freqFold, qkRopeHeadDim, rope };
  const { headDim } = model.config;
  const collapse = headDim / qkRopeHeadDim;
  // Without RoPE every F gives the same scores: there is nothing to choose by.
  if (!rope) return { freqFold: collapse, qkRopeHeadDim, rope };
  let best = collapse;
  let bestNll = Infinity;
  for (let F = collapse; (headDim / 2) % F === 0; F *= 2) {
    const candidate = { freqFold: F, qkRopeHeadDim, rope };
    const partial = await toPartialRope(
      model,
      candidate,
      moments,
      (stage, done, total) =>
        context.progress?.(`${stage} (freqFold ${F})`, done, total),
    );
    const nll = await context.heldOutNll(partial.model);
    if (!(nll < bestNll)) break;
    best = F;
    bestNll = nll;
  }
  return { freqFold: best, qkRopeHeadDim, rope };
}

/** Merged heads with RoPE on m rotated dims only; the cache keeps its size. */
export const partialRope: Method<PartialRopeOptions> = {
  name: "partial-rope",
  summary:
    "Merged heads, RoRoPE and FreqFold; keys rotated, nothing compressed",
  source: "arXiv 2502.07864 §4.1-4.2",
  latent: false,
  options,
  check(options, config) {
    checkRotary(options, config);
  },
  async convert(model, options, context) {
    const moments = await context.moments(model);
    const resolved = await resolveRotary(model, options, moments, context);
    return await toPartialRope(model, resolved, moments, context.progress);
  },
};
