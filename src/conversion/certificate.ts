// What a conversion kept, computed from the weights as they will be run, not from
// what the conversion says of itself. Works for any attention kind.
//
// Scores are compared without positions: RoPE turns every pair of the rotary part
// by the same orthogonal matrix on both sides, so what a conversion loses of
// q . k at equal positions is what rotation and compression lost; how far RoPE
// itself moved from the original's is seen in perplexity only.

import type { Matrix64 } from "../base/tensor.ts";
import { toMatrix64 } from "../base/tensor.ts";
import { columnBlock, rowBlock, scaled, stackRows } from "../linalg/blocks.ts";
import { gemm64 } from "../linalg/gemm.ts";
import { quadraticForm } from "../linalg/quadratic_form.ts";
import type { Attention, DecoderModel } from "../model/decoder.ts";
import type { LayerMoments, ModelMoments } from "../model/moments.ts";
import { affineMatrix, keyValueHeadOf } from "./merge_heads.ts";

/** What one layer kept, on the calibration text. */
export interface LayerCertificate {
  readonly layer: number;
  readonly kind: Attention["kind"];
  /** RMS error of the scores of all heads and pairs of tokens, relative to their RMS. 0: equal to the original without RoPE. */
  readonly scoreError: number;
  /** RMS error of the values that all heads read, relative to their RMS. */
  readonly valueError: number;
  /** Partial RoPE: largest |P P^T - 1|; 0 means that no score without RoPE changed. */
  readonly basisError?: number;
}

/** One query head's score q(y) . k(y') and the value it reads, as linear maps of [y; 1]. */
interface HeadMaps {
  /** Times the softmax scale, `[w, D+1]`. */
  readonly query: Matrix64;
  /** `[w, D+1]` */
  readonly key: Matrix64;
  /** `[v, D+1]` */
  readonly value: Matrix64;
}

/**
 * Compares a converted model with its original, layer by layer. At full rank, and
 * for partial RoPE at any F, all errors are those of rounding weights to f32, about 1e-7.
 *
 * @param original The original.
 * @param converted The same layers, converted by any method.
 * @param moments Of the original, on text that decides how errors are weighed.
 * @returns One entry a layer.
 */
export async function certify(
  original: DecoderModel,
  converted: DecoderModel,
  moments: ModelMoments,
): Promise<LayerCertificate[]> {
  const certificates: LayerCertificate[] = [];
  for (let layer = 0; layer < original.config.numHiddenLayers; layer++) {
    const before = (await original.layer(layer)).attention;
    const after = (await converted.layer(layer)).attention;
    const { gram } = await moments.layer(layer);
    certificates.push({
      layer,
      kind: after.kind,
      ...await layerErrors(before, after, gram),
      ...(after.kind === "partialRope" && {
        basisError: await orthogonalityError(toMatrix64(after.keyBasis)),
      }),
    });
  }
  return certificates;
}

async function layerErrors(
  before: Attention,
  after: Attention,
  gram: LayerMoments["gram"],
): Promise<{ scoreError: number; valueError: number }> {
  const expected = await headMaps(before);
  const actual = await headMaps(after);
  const score = { error: 0, energy: 0 };
  const value = { error: 0, energy: 0 };
  for (const [h, { query, key, value: wanted }] of expected.entries()) {
    const made = actual[h]!;
    // q . k - q' . k' is one product of stacked maps.
    score.error += await productEnergy(
      stackRows(query, scaled(made.query, -1)),
      stackRows(key, made.key),
      gram,
    );
    score.energy += await productEnergy(query, key, gram);
    const difference = {
      ...wanted,
      data: wanted.data.map((weight, i) => weight - made.value.data[i]!),
    };
    value.error += diagonalSum(await quadraticForm(difference, gram));
    value.energy += diagonalSum(await quadraticForm(wanted, gram));
  }
  return { scoreError: relative(score), valueError: relative(value) };
}

/** sum over pairs of tokens (t, t') of (q_t . k_t')^2 = tr(Q S Q^T K S K^T). */
async function productEnergy(
  query: Matrix64,
  key: Matrix64,
  gram: Matrix64,
): Promise<number> {
  const queries = await quadraticForm(query, gram);
  const keys = await quadraticForm(key, gram);
  let sum = 0;
  for (let i = 0; i < keys.data.length; i++) {
    sum += queries.data[i]! * keys.data[i]!;
  }
  return sum;
}

/** Rounding can leave a vanishing error just below zero. */
function relative(
  { error, energy }: { error: number; energy: number },
): number {
  return energy > 0 ? Math.sqrt(Math.max(0, error) / energy) : 0;
}

function diagonalSum({ rows, columns, data }: Matrix64): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) sum += data[i * columns + i]!;
  return sum;
}

async function orthogonalityError(basis: Matrix64): Promise<number> {
  const product = await gemm64(basis, basis, { transB: true });
  let worst = 0;
  for (let i = 0; i < product.rows; i++) {
    for (let j = 0; j < product.columns; j++) {
      const error = product.data[i * product.columns + j]! - (i === j ? 1 : 0);
      worst = Math.max(worst, Math.abs(error));
    }
  }
  return worst;
}

/** Maps of every query head, `[H]`. */
async function headMaps(attention: Attention): Promise<HeadMaps[]> {
  const queries = affineMatrix(attention.qProj);
  const H = attention.numAttentionHeads;
  const G = attention.numKeyValueHeads;
  const scale = attention.softmaxScale;
  const perHead = (make: (h: number, g: number) => Promise<HeadMaps>) =>
    Promise.all(
      Array.from({ length: H }, (_, h) => make(h, keyValueHeadOf(h, H, G))),
    );

  if (attention.kind === "mla") {
    const n = attention.qkNopeHeadDim;
    const m = attention.qkRopeHeadDim;
    const v = attention.vHeadDim;
    const r = attention.kvLoraRank;
    const down = affineMatrix(attention.kvAProjWithMqa);
    const latent = rowBlock(down, 0, r);
    const up = toMatrix64(attention.kvBProj);
    return await perHead(async (h, g) => {
      const from = g * (n + v);
      const nope = await gemm64(rowBlock(up, from, from + n), latent);
      return {
        query: scaled(rowBlock(queries, h * (n + m), (h + 1) * (n + m)), scale),
        key: stackRows(nope, rowBlock(down, r, r + m)),
        value: await gemm64(rowBlock(up, from + n, from + n + v), latent),
      };
    });
  }
  const d = attention.headDim;
  const keys = affineMatrix(attention.kProj);
  const values = affineMatrix(attention.vProj);
  const basis = attention.kind === "partialRope"
    ? toMatrix64(attention.keyBasis)
    : undefined;
  return await perHead(async (h, g) => {
    const query = scaled(rowBlock(queries, h * d, (h + 1) * d), scale);
    const value = rowBlock(values, g * d, (g + 1) * d);
    if (basis === undefined) {
      return { query, key: rowBlock(keys, g * d, (g + 1) * d), value };
    }
    const columns = columnBlock(basis, g * d, (g + 1) * d);
    return { query: await gemm64(columns, query), key: keys, value };
  });
}
