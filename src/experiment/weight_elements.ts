// What a model's weights take.

import type {
  Attention,
  DecoderLayer,
  DecoderModel,
  Linear,
} from "../model/decoder.ts";

/**
 * Numbers in all weights of a model, tied embeddings counted once.
 *
 * @param model Its layers are read one at a time.
 */
export async function weightElements(model: DecoderModel): Promise<number> {
  let total = (await model.finalNorm()).data.length;
  const embed = await model.embedTokens();
  const head = await model.lmHead();
  total += embed.data.length + (head === embed ? 0 : head.data.length);
  for (let i = 0; i < model.config.numHiddenLayers; i++) {
    total += layerElements(await model.layer(i));
  }
  return total;
}

function layerElements(layer: DecoderLayer): number {
  const { gateProj, upProj, downProj } = layer.mlp;
  return layer.inputNorm.data.length + layer.postAttentionNorm.data.length +
    [gateProj, upProj, downProj].reduce(
      (sum, l) => sum + linearElements(l),
      0,
    ) +
    attentionElements(layer.attention);
}

function attentionElements(attention: Attention): number {
  switch (attention.kind) {
    case "gqa":
    case "partialRope": {
      const { qProj, kProj, vProj, oProj } = attention;
      return [qProj, kProj, vProj, oProj]
        .reduce((sum, linear) => sum + linearElements(linear), 0) +
        (attention.kind === "gqa" ? 0 : attention.keyBasis.data.length);
    }
    case "mla": {
      const { qProj, kvAProjWithMqa, oProj, kvBProj } = attention;
      return [qProj, kvAProjWithMqa, oProj]
        .reduce((sum, linear) => sum + linearElements(linear), 0) +
        kvBProj.data.length;
    }
    default:
      return attention satisfies never;
  }
}

function linearElements(linear: Linear): number {
  return linear.weight.data.length + (linear.bias?.data.length ?? 0);
}
