// The plain forward pass of a decoder, all arithmetic in f64: what every engine
// is measured against. It favors being read over being fast.

import { ShapeError } from "../base/errors.ts";
import type { Tensor } from "../base/tensor.ts";
import type { DecoderLayer, DecoderModel, GatedMlp } from "./decoder.ts";
import { checkLayerShapes } from "./layer_shapes.ts";
import type { AttentionSums } from "./moments.ts";
import {
  applyLinear,
  multiplyTransposed,
  rmsNorm,
  silu,
} from "./reference_arithmetic.ts";
import {
  attend,
  type LayerCache,
  type MlaForm,
  newLayerCache,
} from "./reference_attention.ts";

/** All weights of a decoder, in memory. */
export interface LoadedModel {
  readonly rmsNormEps: number;
  readonly embedTokens: Tensor;
  readonly layers: readonly DecoderLayer[];
  readonly finalNorm: Tensor;
  readonly lmHead: Tensor;
}

/** Called with each layer's normed attention input, [T, D], before the layer runs; the array must not be written. */
export type AttentionInputTap = (layer: number, y: Float64Array) => void;

/** Called with each layer's attention weights summed over heads, after the layer's attention ran. */
export type AttentionTap = (layer: number, sums: AttentionSums) => void;

/**
 * Reads all weights of a model.
 *
 * @param model The model.
 * @returns Its weights.
 * @throws {ShapeError} If a tensor has another shape than decoder.ts states.
 */
export async function readWeights(model: DecoderModel): Promise<LoadedModel> {
  const layers: DecoderLayer[] = [];
  for (let l = 0; l < model.config.numHiddenLayers; l++) {
    const layer = await model.layer(l);
    checkLayerShapes(layer, l, model.config.hiddenSize);
    layers.push(layer);
  }
  return {
    rmsNormEps: model.config.rmsNormEps,
    embedTokens: await model.embedTokens(),
    layers,
    finalNorm: await model.finalNorm(),
    lmHead: await model.lmHead(),
  };
}

/**
 * Makes an empty cache for every layer.
 *
 * @param weights The model's weights.
 * @param capacity Tokens that each can hold.
 * @returns One cache a layer, [L].
 */
export function newCaches(
  weights: LoadedModel,
  capacity: number,
): LayerCache[] {
  return weights.layers.map((layer) =>
    newLayerCache(layer.attention, capacity)
  );
}

/**
 * Runs T tokens that follow those in the caches through all layers.
 *
 * @param weights The model's weights.
 * @param tokens Token ids, [T].
 * @param caches One a layer; the new tokens are appended.
 * @param options How MLA is computed, and who looks at the attention inputs and weights.
 * @returns Normed final hidden states, [T, D].
 * @throws {RangeError} If a token id is outside the vocabulary or a cache has no room.
 */
export function forward(
  weights: LoadedModel,
  tokens: Int32Array,
  caches: readonly LayerCache[],
  options: {
    /** @default "expanded" */
    readonly form?: MlaForm;
    readonly tap?: AttentionInputTap;
    readonly attentionTap?: AttentionTap | undefined;
  } = {},
): Float64Array {
  const { form = "expanded", tap, attentionTap } = options;
  const x = embed(tokens, weights.embedTokens);
  for (const [l, layer] of weights.layers.entries()) {
    const y = rmsNorm(x, layer.inputNorm, weights.rmsNormEps);
    tap?.(l, y);
    const cache = caches[l]!;
    const sums = attentionTap && noSums(cache.tokens + tokens.length);
    addTo(x, attend(layer.attention, y, tokens.length, cache, { form, sums }));
    if (sums !== undefined) attentionTap?.(l, sums);
    const z = rmsNorm(x, layer.postAttentionNorm, weights.rmsNormEps);
    addTo(x, gatedMlp(layer.mlp, z, tokens.length));
  }
  return rmsNorm(x, weights.finalNorm, weights.rmsNormEps);
}

/**
 * Logits of hidden states.
 *
 * @param weights The model's weights.
 * @param hidden Normed final hidden states, [T, D].
 * @param rows T.
 * @returns [T, V].
 */
export function logitsOf(
  weights: LoadedModel,
  hidden: Float64Array,
  rows: number,
): Float64Array {
  return multiplyTransposed(hidden, rows, weights.lmHead);
}

/** Sums of no attention weights, [S] each. */
function noSums(total: number): AttentionSums {
  return {
    received: new Float64Array(total),
    massByDistance: new Float64Array(total),
  };
}

/** Rows of the embedding table, [T, D]. */
function embed(tokens: Int32Array, table: Tensor): Float64Array {
  const [vocabSize, width] = table.shape;
  if (vocabSize === undefined || width === undefined) {
    throw new ShapeError(
      `Cannot embed tokens as embedTokens must have 2 axes: current shape is [${table.shape}]`,
    );
  }
  const x = new Float64Array(tokens.length * width);
  for (const [t, id] of tokens.entries()) {
    if (id < 0 || id >= vocabSize) {
      throw new RangeError(
        `Cannot embed token ${t} as its id must be in 0..${
          vocabSize - 1
        }: current value is ${id}`,
      );
    }
    x.set(table.data.subarray(id * width, (id + 1) * width), t * width);
  }
  return x;
}

/** downProj(silu(gateProj y) * upProj y), [T, D]. */
function gatedMlp(
  mlp: GatedMlp,
  y: Float64Array,
  rows: number,
): Float64Array {
  const gate = applyLinear(y, rows, mlp.gateProj);
  const up = applyLinear(y, rows, mlp.upProj);
  for (let i = 0; i < gate.length; i++) gate[i] = silu(gate[i]!) * up[i]!;
  return applyLinear(gate, rows, mlp.downProj);
}

function addTo(x: Float64Array, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += y[i]!;
}
