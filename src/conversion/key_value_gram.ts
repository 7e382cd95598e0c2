// The one matrix that RoRoPE, BKV per channel and the joint PCA are computed
// from: the Gram matrix of [k; v], itself computed from the moments of the
// attention input, without another look at the text.

import type { Matrix64 } from "../base/tensor.ts";
import { rowBlock, stackRows } from "../linalg/blocks.ts";
import { gemm64 } from "../linalg/gemm.ts";
import { quadraticForm } from "../linalg/quadratic_form.ts";
import type { DecoderModel, GqaAttention } from "../model/decoder.ts";
import type { ModelMoments } from "../model/moments.ts";
import { DENSE_WIDTH } from "./joint_pca.ts";
import { memoized } from "./layer_memo.ts";
import { affineMatrix } from "./merge_heads.ts";

/**
 * sum_t [k_t; v_t][k_t; v_t]^T of a layer, before RoPE, biases included, heads in
 * their original order. Made once for each model, layer and moments.
 *
 * @param model The original, whose projections these are.
 * @param layer Layer index.
 * @param attention That layer's attention.
 * @param moments Of this model, or of another with the same projections (a second pass).
 * @returns `[2·G·d, 2·G·d]`
 */
export function keyValueGram(
  model: DecoderModel,
  layer: number,
  attention: GqaAttention,
  moments: ModelMoments,
): Promise<Matrix64> {
  return memoized(
    model,
    `gram ${moments.sha256} ${layer}`,
    ({ data }) => data.byteLength,
    async () =>
      await quadraticForm(
        stackRows(
          affineMatrix(attention.kProj),
          affineMatrix(attention.vProj),
        ),
        (await moments.layer(layer)).gram,
      ),
  );
}

/**
 * sum_t k_t k_t^T of a layer, before RoPE, biases included. Of wide layers it is
 * made alone, since all of keyValueGram() would be larger than what it is made from.
 *
 * @param model The original.
 * @param layer Layer index.
 * @param attention That layer's attention.
 * @param moments Of this model.
 * @returns `[G·d, G·d]`
 */
export async function keyGram(
  model: DecoderModel,
  layer: number,
  attention: GqaAttention,
  moments: ModelMoments,
): Promise<Matrix64> {
  return isFactored(attention)
    ? await quadraticForm(
      affineMatrix(attention.kProj),
      (await moments.layer(layer)).gram,
    )
    : keyBlock(await keyValueGram(model, layer, attention, moments));
}

/**
 * Whether a layer's keys and values are so many that their Gram matrix, W S W^T,
 * is worked with as its factors: it is wider than S and too wide to be decomposed whole.
 *
 * @param attention The layer's attention.
 */
export function isFactored(
  { numKeyValueHeads, headDim, kProj }: GqaAttention,
): boolean {
  const width = 2 * numKeyValueHeads * headDim;
  const inputs = kProj.weight.shape[1]! + 1;
  return width > inputs && width - headDim > DENSE_WIDTH;
}

/**
 * The key block of a Gram matrix of [k; v].
 *
 * @param gram `[2·G·d, 2·G·d]`
 * @returns `[G·d, G·d]`
 */
export function keyBlock(gram: Matrix64): Matrix64 {
  const width = gram.rows / 2;
  const data = new Float64Array(width * width);
  for (let row = 0; row < width; row++) {
    const start = row * gram.columns;
    data.set(gram.data.subarray(start, start + width), row * width);
  }
  return { rows: width, columns: width, data };
}

/**
 * The Gram matrix of [P k; v].
 *
 * @param gram Of [k; v], `[2·G·d, 2·G·d]`.
 * @param basis P, `[G·d, G·d]`.
 * @returns `[2·G·d, 2·G·d]`
 */
export async function rotatedGram(
  gram: Matrix64,
  basis: Matrix64,
): Promise<Matrix64> {
  const size = gram.rows;
  const width = basis.rows;
  const keys = await quadraticForm(basis, keyBlock(gram));
  // The rows of k against all columns: P G_kv is its right half.
  const cross = await gemm64(basis, rowBlock(gram, 0, width));
  const data = gram.data.slice();
  for (let i = 0; i < width; i++) {
    data.set(keys.data.subarray(i * width, (i + 1) * width), i * size);
    for (let j = width; j < size; j++) {
      data[i * size + j] = cross.data[i * size + j]!;
      data[j * size + i] = cross.data[i * size + j]!;
    }
  }
  return { rows: size, columns: size, data };
}

/**
 * Share of the key energy in the rotary part.
 *
 * @param energies Of each rotated key channel, whatever follows after them.
 * @param width Number of key dims, G·d.
 * @param qkRopeHeadDim m
 * @returns 0-1
 */
export function rotaryKeyEnergy(
  energies: Float64Array,
  width: number,
  qkRopeHeadDim: number,
): number {
  const sum = (to: number) =>
    energies.subarray(0, to).reduce((total, energy) => total + energy, 0);
  const total = sum(width);
  return total > 0 ? sum(qkRopeHeadDim) / total : 1;
}
