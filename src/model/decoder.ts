// What a decoder is: layers as data. Each layer states its own attention kind,
// sizes and rotary frequencies; nothing assumes that two layers are alike.
// Engines know these types and no conversion method.
//
// Letters: L layers, D hiddenSize, H query heads, G key-value heads, d headDim,
// m qkRopeHeadDim, r kvLoraRank, n qkNopeHeadDim, v vHeadDim, T tokens, V vocabulary.

import type { Tensor } from "../base/tensor.ts";
import type { ModelConfig } from "./config.ts";

/** y = W x + b. */
export interface Linear {
  /** [out, in] */
  readonly weight: Tensor;
  /** [out] */
  readonly bias?: Tensor;
}

/** Rotary position embedding of one attention layer. */
export interface Rotary {
  /** "half": pair n is (n, n + width/2), as Hugging Face's Llama. "interleaved": pair n is (2n, 2n+1), as DeepSeek. */
  readonly layout: "half" | "interleaved";
  /** Radians a token of each pair, [width/2]. A frequency of 0 leaves its pair unrotated. */
  readonly frequencies: Float64Array;
}

/** Grouped-query attention; G = H is multi-head attention. score = RoPE(q_h) . RoPE(k_g(h)) softmaxScale, g(h) = floor(h G / H). */
export interface GqaAttention {
  readonly kind: "gqa";
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly softmaxScale: number;
  /** All d dims of each head rotate. */
  readonly rotary: Rotary;
  /** [H·d, D] */
  readonly qProj: Linear;
  /** [G·d, D] */
  readonly kProj: Linear;
  /** [G·d, D] */
  readonly vProj: Linear;
  /** [D, H·d] */
  readonly oProj: Linear;
}

/**
 * Keys in one merged, rotated basis shared by all heads, RoPE on its first m
 * dims only (TransMLA §4.1-4.2, official PartialRope). With k' = W_k' y + b_k' in R^{G·d},
 * q~_h = keyBasis[:, g(h)·d : (g(h)+1)·d] q_h, the score is RoPE_m(q~_h) . RoPE_m(k') softmaxScale.
 * The cache holds k' and v: 2·G·d numbers.
 */
export interface PartialRopeAttention {
  readonly kind: "partialRope";
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** m: the first m dims of the merged key rotate. */
  readonly qkRopeHeadDim: number;
  readonly softmaxScale: number;
  /** Over the m rotary dims, interleaved. */
  readonly rotary: Rotary;
  /** Unchanged from the original, [H·d, D]. */
  readonly qProj: Linear;
  /** P W_k, [G·d, D] */
  readonly kProj: Linear;
  /** P, orthogonal: merged key = P (original keys of all heads, head-major), [G·d, G·d]. */
  readonly keyBasis: Tensor;
  /** [G·d, D] */
  readonly vProj: Linear;
  /** [D, H·d] */
  readonly oProj: Linear;
}

/**
 * Multi-head latent attention. [c; k_r] = kvAProjWithMqa y, [q_n; q_r]_h = qProj y,
 * [k_h; v_h] = kvBProj_g(h) c, score = (q_n . k_h + RoPE(q_r) . RoPE(k_r)) softmaxScale.
 * The cache holds c and k_r: r + m numbers.
 */
export interface MlaAttention {
  readonly kind: "mla";
  readonly numAttentionHeads: number;
  /** Number of distinct up-projections; query head h uses number floor(h · this / H). A conversion from GQA needs only G of them. */
  readonly numKeyValueHeads: number;
  /** n */
  readonly qkNopeHeadDim: number;
  /** m */
  readonly qkRopeHeadDim: number;
  /** v */
  readonly vHeadDim: number;
  /** r */
  readonly kvLoraRank: number;
  readonly softmaxScale: number;
  /** Over the m rotary dims, interleaved. */
  readonly rotary: Rotary;
  /** Per head [nope n; rotary m]: [H·(n+m), D] */
  readonly qProj: Linear;
  /** Latent first, rotary part last: [r+m, D] */
  readonly kvAProjWithMqa: Linear;
  /** Per up-projection [key n; value v]: [numKeyValueHeads·(n+v), r] */
  readonly kvBProj: Tensor;
  /** [D, H·v] */
  readonly oProj: Linear;
}

/** The attention of one layer. */
export type Attention = GqaAttention | PartialRopeAttention | MlaAttention;

/** downProj(silu(gateProj y) * upProj y). */
export interface GatedMlp {
  /** [I, D] */
  readonly gateProj: Linear;
  /** [I, D] */
  readonly upProj: Linear;
  /** [D, I] */
  readonly downProj: Linear;
}

/** One pre-norm layer: x += attention(inputNorm(x)); x += mlp(postAttentionNorm(x)). */
export interface DecoderLayer {
  /** RMSNorm weight, [D] */
  readonly inputNorm: Tensor;
  readonly attention: Attention;
  /** RMSNorm weight, [D] */
  readonly postAttentionNorm: Tensor;
  readonly mlp: GatedMlp;
}

/** A decoder whose weights are read when asked for, so that one layer at a time need be in memory. */
export interface DecoderModel {
  /** As the user named it, with the conversion where there is one. */
  readonly id: string;
  /** Hex sha256 that identifies the model: of the weight files' sha256 and the configuration, or of the original's and the conversion's resolved options. */
  readonly sha256: string;
  /** Of the original model; a converted layer's own sizes are in its attention. */
  readonly config: ModelConfig;
  /** [V, D] */
  embedTokens(): Promise<Tensor>;
  /** Layer 0 to L-1. */
  layer(index: number): Promise<DecoderLayer>;
  /** RMSNorm weight, [D] */
  finalNorm(): Promise<Tensor>;
  /** [V, D]; the same object as embedTokens() where the embeddings are tied. */
  lmHead(): Promise<Tensor>;
}

/** Numbers that a layer's cache holds for each token: keys (or latent) and values (or rotary part). */
export interface CacheWidths {
  /** GQA: G·d keys. Partial RoPE: G·d merged keys. MLA: the latent, r. */
  readonly first: number;
  /** GQA and partial RoPE: G·d values. MLA: the rotary part, m. */
  readonly second: number;
}

/** The widths of the two cache parts of a layer. */
export function cacheWidths(attention: Attention): CacheWidths {
  switch (attention.kind) {
    case "gqa":
    case "partialRope": {
      const width = attention.numKeyValueHeads * attention.headDim;
      return { first: width, second: width };
    }
    case "mla":
      return {
        first: attention.kvLoraRank,
        second: attention.qkRopeHeadDim,
      };
    default:
      return attention satisfies never;
  }
}

/**
 * A decoder that is already in memory.
 *
 * @param parts Everything a decoder is made of.
 * @returns A model whose reads are immediate.
 */
export function inMemoryModel(parts: {
  id: string;
  sha256: string;
  config: ModelConfig;
  embedTokens: Tensor;
  layers: readonly DecoderLayer[];
  finalNorm: Tensor;
  lmHead: Tensor;
}): DecoderModel {
  return {
    id: parts.id,
    sha256: parts.sha256,
    config: parts.config,
    embedTokens: () => Promise.resolve(parts.embedTokens),
    layer(index) {
      const layer = parts.layers[index];
      if (layer === undefined) {
        return Promise.reject(
          new RangeError(
            `Cannot read layer ${index} as it must be < ${parts.layers.length}`,
          ),
        );
      }
      return Promise.resolve(layer);
    },
    finalNorm: () => Promise.resolve(parts.finalNorm),
    lmHead: () => Promise.resolve(parts.lmHead),
  };
}
