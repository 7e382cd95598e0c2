// TransMLA (arXiv 2502.07864): merged heads, RoRoPE and FreqFold, balanced
// key-value joint PCA, absorption (§4; official converter.py, partial_rope.py,
// lora_qkv.py).
//
// Keeps: at kvLoraRank "full" the partial-RoPE model's logits, balanced or not.

import { z } from "zod";
import { EigenPool } from "../../linalg/eigen_pool.ts";
import type { GqaAttention, MlaAttention } from "../../model/decoder.ts";
import { absorb } from "../absorb.ts";
import { AttentionStore } from "../attention_store.ts";
import {
  type BalancedSpectrum,
  balancedSpectrum,
} from "../balanced_spectrum.ts";
import { convertedModel, originalAttention } from "../converted_model.ts";
import { DENSE_WIDTH, directionsFor, jointPca } from "../joint_pca.ts";
import { inOrder } from "../layer_window.ts";
import { memoized } from "../layer_memo.ts";
import { affineMatrix } from "../merge_heads.ts";
import type { LayerReport, Method } from "../method.ts";
import {
  checkRotary,
  type ResolvedRotary,
  resolveRotary,
  ROTARY_OPTIONS,
  type RotatedKeys,
  rotateKeys,
  toPartialRope,
} from "./partial_rope.ts";

const options = z.strictObject({
  ...ROTARY_OPTIONS,
  kvLoraRank: z.union([z.int().min(1), z.literal("full")])
    .describe("r, width of the latent; full: 2·G·d - m, which loses nothing"),
  balanceKv: z.boolean().default(true)
    .describe("Whether keys are balanced against values before the joint PCA"),
  balanceKvNorm: z.enum(["channel", "token"]).default("channel")
    .describe(
      "channel: mean norm of channels, as the official code; token: mean norm of tokens, as the paper",
    ),
  balanceKvRatio: z.number().positive().default(1)
    .describe("How much larger than values balanced keys are"),
  pca: z.enum(["activations", "weights"]).default("activations")
    .describe("What the joint PCA sees; weights is the ablation of Fig. 4b"),
});

/** Options of `transmla`. */
export type TransmlaOptions = z.infer<typeof options>;

/** The same with F and r chosen. */
interface ResolvedTransmla extends ResolvedRotary {
  readonly kvLoraRank: number;
  readonly balanceKv: boolean;
  readonly balanceKvNorm: "channel" | "token";
  readonly balanceKvRatio: number;
  readonly pca: "activations" | "weights";
}

function fullRank(
  qkRopeHeadDim: number,
  { numKeyValueHeads, headDim }: {
    readonly numKeyValueHeads: number;
    readonly headDim: number;
  },
): number {
  return 2 * numKeyValueHeads * headDim - qkRopeHeadDim;
}

/**
 * Refuses a rank that no conversion of the sizes has.
 *
 * @param kvLoraRank r
 * @param qkRopeHeadDim m
 * @param sizes G and d.
 * @param place What is converted, for the error: "layer 3 ".
 * @throws {RangeError} With the value and those allowed.
 */
export function checkRank(
  kvLoraRank: number,
  qkRopeHeadDim: number,
  sizes: { readonly numKeyValueHeads: number; readonly headDim: number },
  place = "",
): void {
  const limit = fullRank(qkRopeHeadDim, sizes);
  if (!Number.isInteger(kvLoraRank) || kvLoraRank < 1 || kvLoraRank > limit) {
    throw new RangeError(
      `Cannot convert ${place}with kvLoraRank ${kvLoraRank} as it must be 1 to ${limit} (2·G·d - qkRopeHeadDim)`,
    );
  }
}

/**
 * One layer's latent attention.
 *
 * @param attention The original.
 * @param rotated Its rotated keys.
 * @param spectrum Its balancing and PCA.
 * @param options r and m.
 * @returns The attention, and what the PCA kept.
 */
async function transmlaLayer(
  attention: GqaAttention,
  rotated: RotatedKeys,
  spectrum: BalancedSpectrum,
  { kvLoraRank, qkRopeHeadDim }: ResolvedTransmla,
): Promise<{ attention: MlaAttention; report: Omit<LayerReport, "layer"> }> {
  const { directions, ...kept } = jointPca(spectrum, kvLoraRank);
  const { ratio, rotaryKeyEnergy } = spectrum;
  return {
    attention: await absorb(attention, {
      ...rotated,
      values: affineMatrix(attention.vProj),
      directions,
      ratio,
      qkRopeHeadDim,
    }),
    report: { keyValueRatio: ratio, ...kept, rotaryKeyEnergy },
  };
}

/** TransMLA with the official code's defaults. */
export const transmla: Method<TransmlaOptions> = {
  name: "transmla",
  summary:
    "RoRoPE, FreqFold and balanced key-value joint PCA to latent attention",
  source: "arXiv 2502.07864 §4",
  latent: true,
  options,
  check(options, config) {
    checkRotary(options, config);
    if (options.kvLoraRank !== "full") {
      checkRank(options.kvLoraRank, options.qkRopeHeadDim, config);
    }
  },
  async convert(model, options, context) {
    const first = await context.moments(model);
    const rotary = await resolveRotary(model, options, first, context);
    const resolved: ResolvedTransmla = {
      ...options,
      ...rotary,
      kvLoraRank: options.kvLoraRank === "full"
        ? fullRank(options.qkRopeHeadDim, model.config)
        : options.kvLoraRank,
    };
    let second = first;
    if (context.passes === 2) {
      const partial = await toPartialRope(
        model,
        rotary,
        first,
        context.progress,
      );
      second = await context.moments(partial.model);
    }

    const { numHiddenLayers } = model.config;
    const attentions = new AttentionStore(numHiddenLayers);
    const layers: LayerReport[] = [];
    const shared = [
      first.sha256,
      second.sha256,
      resolved.freqFold,
      resolved.qkRopeHeadDim,
      resolved.balanceKv,
      resolved.balanceKvNorm,
      resolved.balanceKvRatio,
      resolved.pca,
    ].join(" ");
    using pool = new EigenPool();
    const prepare = async (layer: number) => {
      const attention = await originalAttention(model, layer);
      checkRank(
        resolved.kvLoraRank,
        resolved.qkRopeHeadDim,
        attention,
        `layer ${layer} `,
      );
      const rotated = await rotateKeys(model, layer, attention, first, rotary);
      const width = fullRank(resolved.qkRopeHeadDim, attention);
      const directions = directionsFor(resolved.kvLoraRank, width);
      // Variants that differ in rank alone share the decomposition.
      const spectrum = await memoized(
        model,
        `spectrum ${layer} ${directions} ${shared}`,
        ({ eigen }) => eigen.vectors.data.byteLength,
        () =>
          balancedSpectrum(
            { model, layer, attention, rotated, moments: second },
            { ...resolved, directions },
            (gram) => pool.decompose(gram),
          ),
      );
      return { layer, attention, rotated, spectrum };
    };
    // Layers that are decomposed whole keep all threads busy; wider ones would fill the memory.
    const isWide = fullRank(resolved.qkRopeHeadDim, model.config) > DENSE_WIDTH;
    const ahead = isWide ? 0 : pool.size;
    for await (const prepared of inOrder(numHiddenLayers, ahead, prepare)) {
      const { layer, attention, rotated, spectrum } = prepared;
      const made = await transmlaLayer(attention, rotated, spectrum, resolved);
      await attentions.put(layer, made.attention, attention);
      layers.push({ layer, ...made.report });
      context.progress?.("compress", layer + 1, numHiddenLayers);
    }
    const described = {
      ...resolved,
      collapse: model.config.headDim / resolved.qkRopeHeadDim,
    };
    const identity = {
      method: transmla.name,
      options: described,
      moments: [first.sha256, second.sha256],
    };
    return {
      model: convertedModel(model, identity, attentions),
      resolved: described,
      layers,
    };
  },
};
