// A converted model: the original with other attention. All else is read from
// the original when asked for, so that variants of a sweep share it.

import { UnsupportedModelError } from "../base/errors.ts";
import { contentKey, type KeyContent } from "../base/content_key.ts";
import { AttentionStore } from "./attention_store.ts";
import type {
  Attention,
  DecoderModel,
  GqaAttention,
} from "../model/decoder.ts";

/** Raised by hand when converted weights may come out differently. */
export const CONVERSION_VERSION = 1;

/** What identifies a conversion beside the original's weights. */
export interface ConversionIdentity {
  readonly method: string;
  /** With every `auto` resolved. */
  readonly options: { readonly [name: string]: KeyContent | undefined };
  /** sha256 of all moments that it was computed from. */
  readonly moments: readonly string[];
}

/**
 * Replaces the attention of every layer.
 *
 * @param original The original.
 * @param identity What the new sha256 is made of.
 * @param attentions One a layer; a store where they may be too large for memory.
 * @returns The model.
 */
export function convertedModel(
  original: DecoderModel,
  identity: ConversionIdentity,
  attentions: readonly Attention[] | AttentionStore,
): DecoderModel {
  const options = Object.entries(identity.options)
    .map(([name, value]) => `${name}=${value}`).join(",");
  return {
    id: `${original.id}+${identity.method}(${options})`,
    sha256: contentKey({
      conversionVersion: CONVERSION_VERSION,
      original: original.sha256,
      method: identity.method,
      options: identity.options,
      moments: identity.moments,
    }),
    config: original.config,
    embedTokens: () => original.embedTokens(),
    async layer(index) {
      const layer = await original.layer(index);
      const attention = attentions instanceof AttentionStore
        ? attentions.get(index, layer.attention)
        : attentions[index]!;
      return { ...layer, attention };
    },
    finalNorm: () => original.finalNorm(),
    lmHead: () => original.lmHead(),
  };
}

/**
 * The grouped-query attention of an original's layer.
 *
 * @param model The original.
 * @param layer Layer index.
 * @returns The attention.
 * @throws {UnsupportedModelError} If the layer is already converted, or rotates otherwise than by halves of each head.
 */
export async function originalAttention(
  model: DecoderModel,
  layer: number,
): Promise<GqaAttention> {
  const { attention } = await model.layer(layer);
  if (attention.kind !== "gqa") {
    throw new UnsupportedModelError(
      `Cannot convert layer ${layer} of ${model.id} as its attention must be gqa: current value is ${attention.kind}`,
    );
  }
  const { layout, frequencies } = attention.rotary;
  if (layout !== "half" || frequencies.length !== attention.headDim / 2) {
    throw new UnsupportedModelError(
      `Cannot convert layer ${layer} of ${model.id} as RoPE must turn headDim/2 = ${
        attention.headDim / 2
      } pairs in layout half: current value is ${frequencies.length} in layout ${layout}`,
    );
  }
  return attention;
}
