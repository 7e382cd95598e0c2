// The shapes of TransMLA's result (arXiv 2502.07864 §4.3) with seeded weights:
// for the cache and the speed of converted models at sizes whose conversion would
// say nothing, since the weights of synthetic models do not.

import { z } from "zod";
import { UnsupportedModelError } from "../../base/errors.ts";
import type {
  DecoderModel,
  GqaAttention,
  MlaAttention,
} from "../../model/decoder.ts";
import { seededWeights } from "../../model/synthetic.ts";
import { convertedModel, originalAttention } from "../converted_model.ts";
import { freqFoldOf, retainedFrequencies } from "../freq_fold.ts";
import type { Method } from "../method.ts";
import { checkRank } from "./transmla.ts";

const options = z.strictObject({
  qkRopeHeadDim: z.int().min(2).default(64)
    .describe("m, dims of the shared rotary key; divides headDim"),
  kvLoraRank: z.int().min(1)
    .describe("r, width of the latent; at most 2·G·d - m"),
});

/** Options of `mla-shape`. */
export type MlaShapeOptions = z.infer<typeof options>;

/**
 * Latent attention of the sizes that a conversion has, with seeded weights.
 *
 * @param original The attention whose place it takes; its output projection stays.
 * @param options m and r.
 * @param scope Tells the weights from those of other layers and models.
 * @returns MLA with n = v = d and one up-projection for each key-value head.
 */
function seededMla(
  original: GqaAttention,
  { qkRopeHeadDim: m, kvLoraRank: r }: MlaShapeOptions,
  scope: string,
): MlaAttention {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: d } = original;
  const D = original.qProj.weight.shape[1]!;
  const { weight, linear } = seededWeights(scope);
  const fold = freqFoldOf(d / m, m, original);
  return {
    kind: "mla",
    numAttentionHeads: H,
    numKeyValueHeads: G,
    qkNopeHeadDim: d,
    qkRopeHeadDim: m,
    vHeadDim: d,
    kvLoraRank: r,
    softmaxScale: 1 / Math.sqrt(d + m),
    rotary: {
      layout: "interleaved",
      frequencies: retainedFrequencies(original.rotary.frequencies, fold),
    },
    qProj: linear(
      "qProj",
      H * (d + m),
      D,
      original.qProj.bias !== undefined,
    ),
    kvAProjWithMqa: linear(
      "kvAProjWithMqa",
      r + m,
      D,
      original.kProj.bias !== undefined ||
        original.vProj.bias !== undefined,
    ),
    kvBProj: weight("kvBProj", [G * 2 * d, r]),
    oProj: original.oProj,
  };
}

/** Seeded weights in the shapes of a conversion, of synthetic models only. */
export const mlaShape: Method<MlaShapeOptions> = {
  name: "mla-shape",
  summary:
    "Shapes of latent attention with seeded weights, for speed and cache of synthetic models",
  source: "arXiv 2502.07864 §4.3, shapes only",
  latent: true,
  calibrated: false,
  syntheticOnly: true,
  options,
  check({ qkRopeHeadDim, kvLoraRank }, config) {
    // F = C = d/m, the smallest that a conversion allows.
    freqFoldOf(
      Math.max(1, Math.floor(config.headDim / qkRopeHeadDim)),
      qkRopeHeadDim,
      config,
    );
    checkRank(kvLoraRank, qkRopeHeadDim, config);
  },
  async convert(model, options) {
    refuseTrained(model);
    const attentions: MlaAttention[] = [];
    for (let layer = 0; layer < model.config.numHiddenLayers; layer++) {
      const attention = await originalAttention(model, layer);
      const { qkRopeHeadDim, kvLoraRank } = options;
      checkRank(kvLoraRank, qkRopeHeadDim, attention, `layer ${layer} `);
      const scope =
        `${model.sha256} mla-shape ${qkRopeHeadDim} ${kvLoraRank} ${layer}`;
      attentions.push(seededMla(attention, options, scope));
    }
    const identity = { method: mlaShape.name, options, moments: [] };
    return {
      model: convertedModel(model, identity, attentions),
      resolved: { ...options },
      layers: [],
    };
  },
};

/** Trained weights would be thrown away. */
function refuseTrained({ id }: DecoderModel): void {
  if (/^synthetic:[^+]+$/.test(id)) return;
  throw new UnsupportedModelError(
    `Cannot convert ${id} with mla-shape as its weights are seeded: the model must be synthetic:NAME`,
  );
}
