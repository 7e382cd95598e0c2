// From a rotated basis and a PCA to the weights of multi-head latent attention
// (§4.3; official lora_qkv.py:132-217). What the PCA's directions undo is folded
// into the up-projections; engines absorb those into queries and outputs at run time.

import type { Matrix64 } from "../base/tensor.ts";
import { toTensor, zeros64 } from "../base/tensor.ts";
import { columnBlock, rowBlock, scaled, stackRows } from "../linalg/blocks.ts";
import { gemm64 } from "../linalg/gemm.ts";
import type { GqaAttention, MlaAttention } from "../model/decoder.ts";
import { affineMatrix, keyValueHeadOf, linearOf } from "./merge_heads.ts";

/** What a layer's latent attention is made of, all f64. */
export interface LatentParts {
  /** P, `[G·d, G·d]` */
  readonly basis: Matrix64;
  /** P [W_k | b_k], `[G·d, D+1]` */
  readonly keys: Matrix64;
  /** [W_v | b_v], `[G·d, D+1]` */
  readonly values: Matrix64;
  /** R, `[2·G·d - m, r]` */
  readonly directions: Matrix64;
  /** rho */
  readonly ratio: number;
  /** m */
  readonly qkRopeHeadDim: number;
  /** Of the rotary part, `[m/2]`. */
  readonly frequencies: Float64Array;
}

/**
 * Builds the latent attention. Scores keep the original's softmax scale: queries
 * are multiplied by s = scale · sqrt(d + m) and the layer's own scale is
 * 1/sqrt(d + m), which is what stock loaders of MLA checkpoints assume.
 *
 * @param attention The original.
 * @param parts Basis, projections and directions.
 * @returns MLA with n = v = d and one up-projection for each key-value head.
 */
export async function absorb(
  attention: GqaAttention,
  parts: LatentParts,
): Promise<MlaAttention> {
  const { basis, keys, values, directions, ratio } = parts;
  const m = parts.qkRopeHeadDim;
  const { headDim: d, numKeyValueHeads: G } = attention;
  const width = G * d;
  const nope = width - m;
  const rank = directions.columns;
  const keyDirections = rowBlock(directions, 0, nope);
  const valueDirections = rowBlock(directions, nope, nope + width);

  const balanced = stackRows(
    scaled(rowBlock(keys, m, width), 1 / ratio),
    values,
  );
  const latent = await gemm64(directions, balanced, { transA: true });
  const down = stackRows(latent, rowBlock(keys, 0, m));

  // keyUp[g·d + j] = rho sum_n P[n, g·d + j] R_k[n - m]
  const keyUp = nope === 0 ? zeros64(width, rank) : scaled(
    await gemm64(rowBlock(basis, m, width), keyDirections, { transA: true }),
    ratio,
  );
  const up = stackRows(
    ...Array.from({ length: G }, (_, g) => [
      rowBlock(keyUp, g * d, (g + 1) * d),
      rowBlock(valueDirections, g * d, (g + 1) * d),
    ]).flat(),
  );

  const hasBias = attention.kProj.bias !== undefined ||
    attention.vProj.bias !== undefined;
  return {
    kind: "mla",
    numAttentionHeads: attention.numAttentionHeads,
    numKeyValueHeads: G,
    qkNopeHeadDim: d,
    qkRopeHeadDim: m,
    vHeadDim: d,
    kvLoraRank: rank,
    softmaxScale: 1 / Math.sqrt(d + m),
    rotary: { layout: "interleaved", frequencies: parts.frequencies },
    qProj: linearOf(
      await absorbedQueries(attention, basis, m),
      attention.qProj.bias !== undefined,
    ),
    kvAProjWithMqa: linearOf(down, hasBias),
    kvBProj: toTensor(up),
    oProj: attention.oProj,
  };
}

/** For each query head s [W_q,h; P[:m, g(h)] W_q,h], biases likewise: `[H·(d+m), D+1]`. */
async function absorbedQueries(
  attention: GqaAttention,
  basis: Matrix64,
  m: number,
): Promise<Matrix64> {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: d } = attention;
  const scale = attention.softmaxScale * Math.sqrt(d + m);
  const queries = affineMatrix(attention.qProj);
  const rotaryBasis = rowBlock(basis, 0, m);
  const blocks: Matrix64[] = [];
  for (let h = 0; h < H; h++) {
    const g = keyValueHeadOf(h, H, G);
    const nope = rowBlock(queries, h * d, (h + 1) * d);
    const toRotary = columnBlock(rotaryBasis, g * d, (g + 1) * d);
    blocks.push(nope, await gemm64(toRotary, nope));
  }
  return scaled(stackRows(...blocks), scale);
}
