// Balancing and joint PCA of one layer, before a rank is chosen (§4.3).

import { type Matrix64, zeros64 } from "../base/tensor.ts";
import {
  diagonal,
  mirrorLower,
  rowBlock,
  rowProducts,
  stackRows,
} from "../linalg/blocks.ts";
import { cholesky } from "../linalg/cholesky.ts";
import { gemm64 } from "../linalg/gemm.ts";
import type { DecoderModel, GqaAttention } from "../model/decoder.ts";
import type { LayerMoments, ModelMoments } from "../model/moments.ts";
import { channelRatio, tokenRatio } from "./balance_kv.ts";
import {
  balancedGram,
  type Decompose,
  factoredSpectrum,
  type JointSpectrum,
  jointSpectrum,
} from "./joint_pca.ts";
import {
  isFactored,
  keyValueGram,
  rotaryKeyEnergy,
  rotatedGram,
} from "./key_value_gram.ts";
import { affineMatrix } from "./merge_heads.ts";

/** How keys are balanced against values, and what the PCA sees. */
export interface BalanceOptions {
  /** m */
  readonly qkRopeHeadDim: number;
  readonly balanceKv: boolean;
  readonly balanceKvNorm: "channel" | "token";
  readonly balanceKvRatio: number;
  readonly pca: "activations" | "weights";
  /** Eigenvectors wanted: directionsFor() the rank. */
  readonly directions: number;
}

/** A layer with its rotated keys. */
export interface RotatedLayer {
  /** The original. */
  readonly model: DecoderModel;
  readonly layer: number;
  readonly attention: GqaAttention;
  readonly rotated: {
    /** P, `[G·d, G·d]` */
    readonly basis: Matrix64;
    /** P [W_k | b_k], `[G·d, D+1]` */
    readonly keys: Matrix64;
  };
  /** Of the partial-RoPE model, or of the original (one pass). */
  readonly moments: ModelMoments;
}

/** What one layer's balancing and PCA found. */
export interface BalancedSpectrum extends JointSpectrum {
  /** rho */
  readonly ratio: number;
  readonly rotaryKeyEnergy: number;
}

/** Relative shift that makes second moments factorable: they may be of any rank. */
const MOMENT_SHIFT = 1e-11;

/**
 * Balances and decomposes a layer's nope keys and values.
 *
 * @param layer The layer and its moments.
 * @param options How.
 * @param decompose symmetricEigen(), or the same in a thread.
 * @returns rho and the spectrum.
 */
export async function balancedSpectrum(
  layer: RotatedLayer,
  options: BalanceOptions,
  decompose?: Decompose,
): Promise<BalancedSpectrum> {
  return isFactored(layer.attention)
    ? await spectrumByFactors(layer, options)
    : await spectrumByGram(layer, options, decompose);
}

/** From the Gram matrix of [k; v]. */
async function spectrumByGram(
  { model, layer, attention, rotated, moments }: RotatedLayer,
  options: BalanceOptions,
  decompose: Decompose | undefined,
): Promise<BalancedSpectrum> {
  const m = options.qkRopeHeadDim;
  const values = affineMatrix(attention.vProj);
  const gram = await rotatedGram(
    await keyValueGram(model, layer, attention, moments),
    rotated.basis,
  );
  const energies = diagonal(gram);
  const ratio = await divisor(
    energies,
    rotated.keys,
    values,
    async () => (await moments.layer(layer)).reservoir,
    options,
  );
  const seen = options.pca === "activations"
    ? gram
    : await weightGram(stackRows(rotated.keys, values));
  return {
    ...await jointSpectrum(
      balancedGram(seen, m, ratio),
      options.directions,
      decompose,
    ),
    ratio,
    rotaryKeyEnergy: rotaryKeyEnergy(energies, rotated.keys.rows, m),
  };
}

/**
 * From its factors, without the Gram matrix: with S = L L^T it is C C^T, C = [k; v] L,
 * and C^T C is only D+1 wide.
 */
async function spectrumByFactors(
  { layer, attention, rotated, moments }: RotatedLayer,
  options: BalanceOptions,
): Promise<BalancedSpectrum> {
  const m = options.qkRopeHeadDim;
  const { gram, reservoir } = await moments.layer(layer);
  const values = affineMatrix(attention.vProj);
  const root = await momentRoot(gram, layer);
  const factor = stackRows(
    await gemm64(rotated.keys, root),
    await gemm64(values, root),
  );
  const energies = rowProducts(factor);
  const ratio = await divisor(
    energies,
    rotated.keys,
    values,
    () => Promise.resolve(reservoir),
    options,
  );
  const seen = options.pca === "activations"
    ? factor
    : biasless(stackRows(rotated.keys, values));
  return {
    ...await factoredSpectrum(
      balancedRows(seen, m, ratio),
      options.directions,
    ),
    ratio,
    rotaryKeyEnergy: rotaryKeyEnergy(energies, rotated.keys.rows, m),
  };
}

/** L with S = L L^T up to rounding. */
async function momentRoot(gram: Matrix64, layer: number): Promise<Matrix64> {
  const root = await cholesky(gram, MOMENT_SHIFT);
  if (root === undefined) {
    throw new RangeError(
      `Cannot convert layer ${layer} as its second moments must be positive semidefinite`,
    );
  }
  return root;
}

/** rho of the options, 1 where nothing is balanced. */
async function divisor(
  energies: Float64Array,
  keys: Matrix64,
  values: Matrix64,
  reservoir: () => Promise<LayerMoments["reservoir"]>,
  options: BalanceOptions,
): Promise<number> {
  const { qkRopeHeadDim: m, balanceKvRatio } = options;
  if (!options.balanceKv) return 1;
  if (options.balanceKvNorm === "channel") {
    return channelRatio(energies, m, balanceKvRatio);
  }
  const rows = await reservoir();
  return tokenRatio(
    await sampledOutputs(rows, rowBlock(keys, m, keys.rows)),
    await sampledOutputs(rows, values),
    balanceKvRatio,
  );
}

/** Rows m and on, the nope keys' divided by rho: `[2·G·d - m, columns]`. */
function balancedRows(
  { rows, columns, data }: Matrix64,
  m: number,
  ratio: number,
): Matrix64 {
  const nope = (rows / 2 - m) * columns;
  const balanced = zeros64(rows - m, columns);
  for (let i = 0; i < balanced.data.length; i++) {
    const value = data[i + m * columns]!;
    balanced.data[i] = i < nope ? value / ratio : value;
  }
  return balanced;
}

/** W [h; 1] of the reservoir's rows: `[R, out]`. */
async function sampledOutputs(
  { rows, data }: LayerMoments["reservoir"],
  weights: Matrix64,
): Promise<Matrix64> {
  const columns = weights.columns;
  const inputs = new Float64Array(rows * columns).fill(1);
  for (let row = 0; row < rows; row++) {
    inputs.set(
      data.subarray(row * (columns - 1), (row + 1) * (columns - 1)),
      row * columns,
    );
  }
  return await gemm64({ rows, columns, data: inputs }, weights, {
    transB: true,
  });
}

/** W W^T without the bias column: the Gram matrix if h were white. */
async function weightGram(weights: Matrix64): Promise<Matrix64> {
  const inputs = biasless(weights);
  const gram = await gemm64(inputs, inputs, { transB: true });
  mirrorLower(gram);
  return gram;
}

/** The same matrix with its last column zero, copied. */
function biasless({ rows, columns, data: from }: Matrix64): Matrix64 {
  const data = from.slice();
  for (let row = 0; row < rows; row++) data[(row + 1) * columns - 1] = 0;
  return { rows, columns, data };
}
