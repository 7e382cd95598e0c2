// Memory that a conversion holds where weights are read a layer at a time, by
// arithmetic: activations and the runtime's own memory are not in it.
//
// Letters: L layers, D hiddenSize, H query heads, G key-value heads, d headDim,
// I intermediateSize, V vocabSize, m qkRopeHeadDim, r kvLoraRank.

import { RESERVOIR_ROWS } from "../calibration/moments.ts";
import { DENSE_WIDTH, directionsFor } from "../conversion/joint_pca.ts";
import {
  fullCacheElements,
  type LatentWidths,
} from "../model/cache_arithmetic.ts";
import type { ModelConfig } from "../model/config.ts";
import { parameterCount } from "./estimate.ts";
import { count, type Equation, product } from "./model_estimate.ts";

/** Memory that a conversion holds at a time, part by part. */
export interface ConversionMemory {
  readonly parts: readonly Equation[];
  /** Sum of the parts. */
  readonly atOnceBytes: number;
  /** Moments of all layers, kept on disk for further variants. */
  readonly onDisk: Equation;
  /** All weights in f32, for comparison: they are read a layer at a time. */
  readonly allWeights: Equation;
}

/**
 * Estimates a conversion's memory where weights are read a layer at a time.
 *
 * @param config The model.
 * @param widths m and r of the conversions; the largest decomposition counts.
 * @param calibrationTokens Tokens that moments are taken of.
 */
export function conversionMemory(
  config: ModelConfig,
  widths: readonly LatentWidths[],
  calibrationTokens: number,
): ConversionMemory {
  const { hiddenSize: D, headDim: d, intermediateSize: I, vocabSize: V } =
    config;
  const { numAttentionHeads: H, numKeyValueHeads: G } = config;
  const L = config.numHiddenLayers;
  const tables = config.tieWordEmbeddings ? 1 : 2;
  const rows = Math.min(RESERVOIR_ROWS, calibrationTokens);
  const m = Math.min(...widths.map(({ qkRopeHeadDim }) => qkRopeHeadDim));
  const r = Math.max(...widths.map(({ kvLoraRank }) => kvLoraRank));
  const gram = (D + 1) ** 2 * 8;
  const reservoir = rows * D * 4;
  const parts = [
    bytes(
      tables === 1 ? "embedding, f32" : "embedding and head, f32",
      tables === 1 ? "V·D·4" : "2·V·D·4",
      tables === 1 ? product(V, D, 4) : product(2, V, D, 4),
      tables * V * D * 4,
    ),
    bytes(
      "weights of one layer, f32",
      "D·(2·(H + G)·d + 3·I)·4",
      `${count(D)} · (2 · (${count(H)} + ${count(G)}) · ${count(d)} + 3 · ${
        count(I)
      }) · 4`,
      D * (2 * (H + G) * d + 3 * I) * 4,
    ),
    bytes(
      "second moments of one layer, f64",
      "(D + 1)²·8",
      `${count(D + 1)}² · 8`,
      gram,
    ),
    bytes(
      "sampled inputs of one layer, f32",
      "rows·D·4",
      product(rows, D, 4),
      reservoir,
    ),
    bytes(
      "rotation of the keys, f64",
      "(G·d)²·8",
      `${count(G * d)}² · 8`,
      (G * d) ** 2 * 8,
    ),
    ...widths.length === 0 ? [] : pcaParts(config, m, r),
  ];
  return {
    parts,
    atOnceBytes: parts.reduce((sum, { value }) => sum + value, 0),
    onDisk: bytes(
      "moments of all layers, on disk, a calibrated model",
      "L·((D + 1)²·8 + rows·D·4)",
      `${count(L)} · (${count(gram)} + ${count(reservoir)})`,
      L * (gram + reservoir),
    ),
    allWeights: bytes(
      "all weights, f32 (read a layer at a time)",
      "parameters·4",
      product(parameterCount(config), 4),
      parameterCount(config) * 4,
    ),
  };
}

/** What the joint PCA of a layer holds; of wide layers it takes the Gram matrix in factors (conversion/key_value_gram.ts). */
function pcaParts(config: ModelConfig, m: number, r: number): Equation[] {
  const inputs = config.hiddenSize + 1;
  const full = fullCacheElements(config);
  const W = full - m;
  const directions = directionsFor(r, W);
  const isFactored = full > inputs && full - config.headDim > DENSE_WIDTH;
  const matrices = isFactored
    ? [
      bytes(
        "factor of the joint PCA, f64",
        "(2·G·d − m)·(D + 1)·8",
        product(W, inputs, 8),
        W * inputs * 8,
      ),
      bytes(
        "its inner Gram matrix, f64",
        "(D + 1)²·8",
        `${count(inputs)}² · 8`,
        inputs ** 2 * 8,
      ),
    ]
    : [bytes(
      "Gram matrix of the joint PCA, f64",
      "(2·G·d − m)²·8",
      `${count(W)}² · 8`,
      W ** 2 * 8,
    )];
  return [
    ...matrices,
    bytes(
      `its ${count(directions)} eigenvectors, f64`,
      "(2·G·d − m)·vectors·8",
      product(W, directions, 8),
      W * directions * 8,
    ),
  ];
}

function bytes(
  what: string,
  symbols: string,
  numbers: string,
  value: number,
): Equation {
  return { what, symbols, numbers, value, unit: "bytes" };
}
