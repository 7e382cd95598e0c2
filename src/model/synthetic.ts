// Models of exact shapes with seeded random weights, a layer at a time: for
// cache sizes and speed, which do not depend on what the weights say. Their
// perplexity means nothing, and experiments refuse to measure it.

import { createHash } from "node:crypto";
import { InputError } from "../base/errors.ts";
import { seededTensor } from "../base/seeded_tensor.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import type { ModelConfig } from "./config.ts";
import type { DecoderLayer, DecoderModel, Linear } from "./decoder.ts";
import { MODEL_PRESETS } from "./presets.ts";
import { ropeFrequencies } from "./rope.ts";

/** Raised when the same name and seed would give other weights. */
const SYNTHETIC_VERSION = 2;

/** Models smaller than this in f32 stay in memory once made. */
const KEEP_BELOW_BYTES = 4e9;

/** The shapes that `synthetic:NAME` knows. */
export const SYNTHETIC_CONFIGS: Readonly<Record<string, ModelConfig>> = {
  "worked-example": MODEL_PRESETS["worked-example"]!,
  "tiny": {
    modelType: "llama",
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    tieWordEmbeddings: false,
    attentionBias: false,
    vocabSize: 256,
    hiddenSize: 64,
    intermediateSize: 128,
    numHiddenLayers: 2,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    headDim: 16,
    maxPositionEmbeddings: 512,
  },
  "smollm2-135m": MODEL_PRESETS["smollm2-135m"]!,
  "llama-2-7b": timed("llama-2-7b"),
  "llama-3-8b": timed("llama-3-8b"),
  "qwen2.5-7b": timed("qwen2.5-7b"),
  "smollm-1.7b": timed("smollm-1.7b"),
  // LLaMA-2-7B's heads on a small model: the same kernels, checked token by token.
  "decode-check": {
    ...MODEL_PRESETS["llama-2-7b"]!,
    vocabSize: 1024,
    hiddenSize: 512,
    intermediateSize: 1024,
    numHiddenLayers: 2,
  },
};

/** Models are trained on less, and the paper's Table 4 times up to 32K. */
function timed(preset: string): ModelConfig {
  const config = MODEL_PRESETS[preset]!;
  const { maxPositionEmbeddings } = config;
  return {
    ...config,
    maxPositionEmbeddings: Math.max(maxPositionEmbeddings, 32768),
  };
}

/**
 * Makes a model of known shape with random weights.
 *
 * @param name A key of SYNTHETIC_CONFIGS, with or without "synthetic:".
 * @param seed Of the weights. @default 1
 * @returns A model whose tensors are made when read, the same at every read.
 * @throws {InputError} If no shape has that name.
 */
export function syntheticModel(name: string, seed = 1): DecoderModel {
  const shape = name.replace(/^synthetic:/, "");
  const config = Object.hasOwn(SYNTHETIC_CONFIGS, shape)
    ? SYNTHETIC_CONFIGS[shape]
    : undefined;
  if (config === undefined) {
    throw new InputError(
      `Cannot make model "synthetic:${shape}" as there is no such shape (allowed: ${
        Object.keys(SYNTHETIC_CONFIGS).map((key) => `synthetic:${key}`).join(
          ", ",
        )
      })`,
    );
  }
  const { hiddenSize, vocabSize } = config;
  const keep = parameterBytes(config) < KEEP_BELOW_BYTES;
  const { weight, norm } = seededWeights(`${seed}`);
  const embedTokens = weight("embedTokens", [vocabSize, hiddenSize], 1);
  const lmHead = config.tieWordEmbeddings
    ? embedTokens
    : weight("lmHead", [vocabSize, hiddenSize]);
  const layers = new Map<number, DecoderLayer>();
  return {
    id: `synthetic:${shape}`,
    sha256: createHash("sha256")
      .update(JSON.stringify({ SYNTHETIC_VERSION, config, seed }))
      .digest("hex"),
    config,
    embedTokens: () => Promise.resolve(embedTokens),
    layer(index) {
      if (!(index >= 0 && index < config.numHiddenLayers)) {
        return Promise.reject(
          new RangeError(
            `Cannot read layer ${index} as it must be < ${config.numHiddenLayers}`,
          ),
        );
      }
      const layer = layers.get(index) ?? randomLayer(config, seed, index);
      if (keep) layers.set(index, layer);
      return Promise.resolve(layer);
    },
    finalNorm: () => Promise.resolve(norm("finalNorm", hiddenSize)),
    lmHead: () => Promise.resolve(lmHead),
  };
}

function randomLayer(
  config: ModelConfig,
  seed: number,
  index: number,
): DecoderLayer {
  const { hiddenSize, intermediateSize, headDim } = config;
  const queries = config.numAttentionHeads * headDim;
  const keys = config.numKeyValueHeads * headDim;
  const { linear, norm } = seededWeights(`${seed}.${index}`);
  const bias = config.attentionBias;
  return {
    inputNorm: norm("inputNorm", hiddenSize),
    attention: {
      kind: "gqa",
      numAttentionHeads: config.numAttentionHeads,
      numKeyValueHeads: config.numKeyValueHeads,
      headDim,
      softmaxScale: 1 / Math.sqrt(headDim),
      rotary: { layout: "half", frequencies: ropeFrequencies(config) },
      qProj: linear("qProj", queries, hiddenSize, bias),
      kProj: linear("kProj", keys, hiddenSize, bias),
      vProj: linear("vProj", keys, hiddenSize, bias),
      oProj: linear("oProj", hiddenSize, queries),
    },
    postAttentionNorm: norm("postAttentionNorm", hiddenSize),
    mlp: {
      gateProj: linear("gateProj", intermediateSize, hiddenSize),
      upProj: linear("upProj", intermediateSize, hiddenSize),
      downProj: linear("downProj", hiddenSize, intermediateSize),
    },
  };
}

function parameterBytes(config: ModelConfig): number {
  const { hiddenSize, headDim, vocabSize, intermediateSize } = config;
  const heads = config.numAttentionHeads + config.numKeyValueHeads;
  const layer = hiddenSize * (2 * heads * headDim + 3 * intermediateSize);
  return 4 * (config.numHiddenLayers * layer + 2 * vocabSize * hiddenSize);
}

/** Makers of weights whose names tell them apart. */
export interface SeededWeights {
  /** Uniform with variance 1/fanIn, so that activations keep their size over layers; fanIn is the last axis unless given. */
  weight(name: string, shape: readonly number[], fanIn?: number): Tensor;
  /** [out, from], and where asked for a bias with a variance of 1/16. */
  linear(name: string, out: number, from: number, bias?: boolean): Linear;
  /** 1 +- 1/4, [size]; in memory. */
  norm(name: string, size: number): Tensor;
}

/**
 * Weights that exist as their seeds until they are read.
 *
 * @param scope Tells them from weights of equal names elsewhere.
 * @returns Makers of weights.
 */
export function seededWeights(scope: string): SeededWeights {
  const seedOf = (name: string) =>
    createHash("sha256").update(`${scope}.${name}`).digest().readUInt32LE(0);
  const weight: SeededWeights["weight"] = (
    name,
    shape,
    fanIn = shape.at(-1)!,
  ) => seededTensor(shape, seedOf(name), Math.sqrt(3 / fanIn));
  return {
    weight,
    linear: (name, out, from, bias = false) => ({
      weight: weight(name, [out, from]),
      ...(bias ? { bias: weight(`${name}.bias`, [out], 16) } : {}),
    }),
    norm(name, size) {
      const { data } = seededTensor([size], seedOf(name), 0.25);
      return tensor(data.map((value) => 1 + value), [size]);
    },
  };
}
