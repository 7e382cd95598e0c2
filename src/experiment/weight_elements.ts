// What a model's weights take. Shapes are read, never numbers: those of a large
// model may not have been made yet.

import type { Tensor } from "../base/tensor.ts";
import type {
  Attention,
  DecoderLayer,
  DecoderModel,
  Linear,
} from "../model/decoder.ts";

/** Numbers in the weights of a model. */
export interface WeightElements {
  /** All, tied embeddings counted once. */
  readonly total: number;
  /** Those that a decode step reads: all but an embedding table that is not also the head. */
  readonly step: number;
}

/**
 * Counts the numbers in the weights of a model.
 *
 * @param model Its layers are read one at a time.
 */
export async function weightElements(
  model: DecoderModel,
): Promise<WeightElements> {
  const embed = await model.embedTokens();
  const head = await model.lmHead();
  let step = elementsOf(await model.finalNorm()) + elementsOf(head);
  for (let i = 0; i < model.config.numHiddenLayers; i++) {
    step += layerElements(await model.layer(i));
  }
  return { total: step + (head === embed ? 0 : elementsOf(embed)), step };
}

function layerElements(layer: DecoderLayer): number {
  const { gateProj, upProj, downProj } = layer.mlp;
  return elementsOf(layer.inputNorm) + elementsOf(layer.postAttentionNorm) +
    linearElements(gateProj, upProj, downProj) +
    attentionElements(layer.attention);
}

function attentionElements(attention: Attention): number {
  switch (attention.kind) {
    case "gqa":
    case "partialRope": {
      const { qProj, kProj, vProj, oProj } = attention;
      return linearElements(qProj, kProj, vProj, oProj) +
        (attention.kind === "gqa" ? 0 : elementsOf(attention.keyBasis));
    }
    case "mla": {
      const { qProj, kvAProjWithMqa, oProj, kvBProj } = attention;
      return linearElements(qProj, kvAProjWithMqa, oProj) +
        elementsOf(kvBProj);
    }
    default:
      return attention satisfies never;
  }
}

function linearElements(...linears: readonly Linear[]): number {
  return linears.reduce(
    (sum, { weight, bias }) =>
      sum + elementsOf(weight) + (bias === undefined ? 0 : elementsOf(bias)),
    0,
  );
}

function elementsOf({ shape }: Pick<Tensor, "shape">): number {
  return shape.reduce((product, axis) => product * axis, 1);
}
