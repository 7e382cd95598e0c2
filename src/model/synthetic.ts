// Models of exact shapes with seeded random weights, a layer at a time: for
// cache sizes and speed, which do not depend on what the weights say. Their
// perplexity means nothing, and experiments refuse to measure it.

import { createHash } from "node:crypto";
import { InputError } from "../base/errors.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import type { ModelConfig } from "./config.ts";
import type { DecoderLayer, DecoderModel, Linear } from "./decoder.ts";
import { MODEL_PRESETS } from "./presets.ts";
import { ropeFrequencies } from "./rope.ts";

/** Raised when the same name and seed would give other weights. */
const SYNTHETIC_VERSION = 1;

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
  "llama-2-7b": {
    ...MODEL_PRESETS["llama-2-7b"]!,
    // The context of its training is 4096; the paper's Table 4 times up to 32K.
    maxPositionEmbeddings: 32768,
  },
};

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
  const embedTokens = remember(() =>
    random([vocabSize, hiddenSize], 1, seed, "embedTokens")
  );
  const lmHead = remember(() =>
    random([vocabSize, hiddenSize], hiddenSize, seed, "lmHead")
  );
  const layers = new Map<number, DecoderLayer>();
  return {
    id: `synthetic:${shape}`,
    sha256: createHash("sha256")
      .update(JSON.stringify({ SYNTHETIC_VERSION, config, seed }))
      .digest("hex"),
    config,
    embedTokens: () => Promise.resolve(embedTokens()),
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
    finalNorm: () => Promise.resolve(ones(hiddenSize)),
    lmHead: () =>
      Promise.resolve(config.tieWordEmbeddings ? embedTokens() : lmHead()),
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
  const linear = (name: string, out: number, from: number): Linear => ({
    weight: random([out, from], from, seed, `${index}.${name}`),
  });
  return {
    inputNorm: ones(hiddenSize),
    attention: {
      kind: "gqa",
      numAttentionHeads: config.numAttentionHeads,
      numKeyValueHeads: config.numKeyValueHeads,
      headDim,
      softmaxScale: 1 / Math.sqrt(headDim),
      rotary: { layout: "half", frequencies: ropeFrequencies(config) },
      qProj: linear("qProj", queries, hiddenSize),
      kProj: linear("kProj", keys, hiddenSize),
      vProj: linear("vProj", keys, hiddenSize),
      oProj: linear("oProj", hiddenSize, queries),
    },
    postAttentionNorm: ones(hiddenSize),
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

function ones(size: number): Tensor {
  return tensor(new Float32Array(size).fill(1), [size]);
}

/** Uniform with variance 1/fanIn, so that activations keep their size over layers. */
function random(
  shape: readonly [number, number],
  fanIn: number,
  seed: number,
  name: string,
): Tensor {
  const data = new Float32Array(shape[0] * shape[1]);
  const start = createHash("sha256").update(`${seed}.${name}`).digest();
  let state = start.readUInt32LE(0) | 1;
  const scale = 2 * Math.sqrt(3 / fanIn) / 2 ** 32;
  for (let i = 0; i < data.length; i++) {
    // xorshift32 and a multiplication to mix its low bits.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data[i] = Math.imul(state, 0x9e3779b1) * scale;
  }
  return tensor(data, shape);
}

function remember<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => made ??= make();
}
