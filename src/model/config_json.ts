// Judges a config.json: the families llama, mistral and qwen2 in the forms that
// this suite computes exactly. Everything else is refused here, by the name of the
// feature, before any work starts. Absent fields have transformers' defaults.

import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
import type { ModelConfig, RopeScaling } from "./config.ts";

type Json = Readonly<Record<string, unknown>>;

const MODEL_TYPES = ["llama", "mistral", "qwen2"] as const;

/** What keeps well-known families out. */
const FAMILY_FEATURES: Readonly<Record<string, string>> = {
  qwen3: "norms on queries and keys",
  olmo2: "norms on queries and keys",
  gemma: "scaled embeddings and (1 + w) norms",
  gemma2: "logit soft-capping",
  gemma3: "norms on queries and keys",
  gemma3_text: "norms on queries and keys",
  mixtral: "a mixture of experts",
  qwen2_moe: "a mixture of experts",
  qwen3_moe: "a mixture of experts",
  phi3: "fused query-key-value projections",
  deepseek_v2: "latent attention already",
  deepseek_v3: "latent attention already",
};

/** No model of these families is near it; products of two sizes stay exact. */
const MAX_SIZE = 2 ** 26;
const MAX_LAYERS = 1024;
/** Published models have at most 1e-5; above 1 a norm no longer normalizes. */
const MAX_NORM_EPS = 1;
/** Published models have at most 1e8; frequencies stay far from the least numbers of f64. */
const MAX_ROPE_THETA = 1e12;

/**
 * Checks a config.json and names its numbers.
 *
 * @param configJson The parsed file.
 * @returns The configuration.
 * @throws {UnsupportedModelError} If the model has a feature that is not reproduced exactly.
 * @throws {CheckpointError} If a field is missing, of a wrong type or out of range.
 */
export function parseModelConfig(configJson: Json): ModelConfig {
  const modelType = parseModelType(configJson);
  refuseFeatures(configJson);

  const hiddenSize = size(configJson, "hidden_size");
  const numAttentionHeads = size(configJson, "num_attention_heads");
  const numKeyValueHeads = modelType === "llama"
    ? size(configJson, "num_key_value_heads", numAttentionHeads)
    : size(configJson, "num_key_value_heads");
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new CheckpointError(
      `Cannot read the configuration as num_attention_heads must be a multiple of num_key_value_heads: current values are ${numAttentionHeads} and ${numKeyValueHeads}`,
    );
  }
  const headDim = size(configJson, "head_dim", hiddenSize / numAttentionHeads);
  if (headDim % 2 !== 0) {
    throw new CheckpointError(
      `Cannot read the configuration as head_dim must be even: current value is ${headDim}`,
    );
  }
  const maxPositionEmbeddings = size(configJson, "max_position_embeddings");
  refuseSlidingWindow(configJson, modelType, maxPositionEmbeddings);
  const rope = parseRope(configJson);
  const attentionBias = modelType === "qwen2" ||
    flag(configJson, "attention_bias");
  if (modelType === "mistral" && attentionBias) {
    throw new UnsupportedModelError(
      "Cannot use this model as attention_bias is not a feature of model_type mistral",
    );
  }
  return {
    modelType,
    vocabSize: size(configJson, "vocab_size"),
    hiddenSize,
    intermediateSize: size(configJson, "intermediate_size"),
    numHiddenLayers: size(
      configJson,
      "num_hidden_layers",
      undefined,
      MAX_LAYERS,
    ),
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    maxPositionEmbeddings,
    rmsNormEps: positive(configJson, "rms_norm_eps", 1e-6, MAX_NORM_EPS),
    ...rope,
    tieWordEmbeddings: flag(configJson, "tie_word_embeddings"),
    attentionBias,
  };
}

function parseModelType(json: Json): ModelConfig["modelType"] {
  const value = json["model_type"];
  const known = MODEL_TYPES.find((type) => type === value);
  if (known !== undefined) return known;
  const feature =
    typeof value === "string" && Object.hasOwn(FAMILY_FEATURES, value)
      ? ` (${value} has ${FAMILY_FEATURES[value]})`
      : "";
  throw new UnsupportedModelError(
    `Cannot use this model as model_type must be one of ${
      MODEL_TYPES.join(", ")
    }: current value is ${excerpt(value)}${feature}`,
  );
}

/** Fields that turn on what the decoder types do not have, with the values that leave it off. */
const FEATURES: readonly (readonly [string, string, readonly unknown[]])[] = [
  ["hidden_act", "an activation other than silu", ["silu"]],
  ["mlp_bias", "biases in the MLP", [false]],
  ["use_qk_norm", "norms on queries and keys", [false]],
  ["qk_norm", "norms on queries and keys", [false]],
  ["qk_layernorm", "norms on queries and keys", [false]],
  ["num_local_experts", "a mixture of experts", [0, 1]],
  ["num_experts", "a mixture of experts", [0, 1]],
  ["attn_logit_softcapping", "logit soft-capping", []],
  ["final_logit_softcapping", "logit soft-capping", []],
  ["query_pre_attn_scalar", "another attention scale", []],
  ["attention_multiplier", "another attention scale", []],
  ["attention_scale", "another attention scale", []],
  ["logit_scale", "scaled logits", [1]],
  ["residual_scale", "scaled residuals", [1]],
  ["embedding_scale", "scaled embeddings", [1]],
  ["clip_qkv", "clipped queries, keys and values", []],
  ["is_causal", "attention that is not causal", [true]],
  ["partial_rotary_factor", "rotation of a part of each head", [1]],
  ["kv_lora_rank", "latent attention already", []],
];

function refuseFeatures(json: Json): void {
  for (const [field, feature, allowed] of FEATURES) {
    const value = json[field] ?? undefined;
    if (value === undefined || allowed.includes(value)) continue;
    throw new UnsupportedModelError(
      `Cannot use this model as it has ${feature}: ${field} is ${
        excerpt(value)
      }`,
    );
  }
  const quantization = json["quantization_config"] ?? undefined;
  if (quantization !== undefined) {
    throw new UnsupportedModelError(
      `Cannot use this model as its weights are quantized: quantization_config is ${
        excerpt(quantization)
      }`,
    );
  }
}

function refuseSlidingWindow(
  json: Json,
  modelType: ModelConfig["modelType"],
  maxPositionEmbeddings: number,
): void {
  const layerTypes = json["layer_types"] ?? [];
  if (
    !Array.isArray(layerTypes) ||
    layerTypes.some((type) => type !== "full_attention")
  ) {
    throw new UnsupportedModelError(
      `Cannot use this model as it has sliding-window attention: layer_types must all be full_attention: current value is ${
        excerpt(layerTypes)
      }`,
    );
  }
  // transformers' MistralConfig has a window of 4096 unless told otherwise.
  const window = modelType === "mistral"
    ? json["sliding_window"] === undefined ? 4096 : json["sliding_window"]
    : flag(json, "use_sliding_window")
    ? json["sliding_window"] ?? 4096
    : null;
  if (window === null) return;
  if (typeof window !== "number" || !(window >= maxPositionEmbeddings)) {
    throw new UnsupportedModelError(
      `Cannot use this model as it has sliding-window attention: sliding_window is ${
        excerpt(window)
      }, max_position_embeddings is ${maxPositionEmbeddings}`,
    );
  }
}

/** rope_theta and rope_scaling, or transformers 5's rope_parameters, which holds both. */
function parseRope(
  json: Json,
): { ropeTheta: number; ropeScaling?: RopeScaling } {
  const parameters = json["rope_parameters"] ?? json["rope_scaling"] ?? {};
  if (typeof parameters !== "object" || Array.isArray(parameters)) {
    throw new CheckpointError(
      `Cannot read the configuration as rope_scaling must be an object or null: current value is ${
        excerpt(parameters)
      }`,
    );
  }
  const scaling = parameters as Json;
  const ropeTheta = positive(
    "rope_theta" in scaling ? scaling : json,
    "rope_theta",
    10000,
    MAX_ROPE_THETA,
  );
  const partial = scaling["partial_rotary_factor"] ?? 1;
  if (partial !== 1) {
    throw new UnsupportedModelError(
      `Cannot use this model as it has rotation of a part of each head: partial_rotary_factor is ${
        excerpt(partial)
      }`,
    );
  }
  const type = scaling["rope_type"] ?? scaling["type"] ?? "default";
  if (type === "default") return { ropeTheta };
  if (type !== "llama3") {
    throw new UnsupportedModelError(
      `Cannot use this model as its rotary scaling must be default or llama3: current value is ${
        excerpt(type)
      }`,
    );
  }
  const ropeScaling: RopeScaling = {
    type,
    factor: positive(scaling, "factor"),
    lowFreqFactor: positive(scaling, "low_freq_factor"),
    highFreqFactor: positive(scaling, "high_freq_factor"),
    originalMaxPositionEmbeddings: size(
      scaling,
      "original_max_position_embeddings",
    ),
  };
  if (ropeScaling.highFreqFactor <= ropeScaling.lowFreqFactor) {
    throw new CheckpointError(
      `Cannot read the configuration as high_freq_factor must be > low_freq_factor: current values are ${ropeScaling.highFreqFactor} and ${ropeScaling.lowFreqFactor}`,
    );
  }
  return { ropeTheta, ropeScaling };
}

function size(
  json: Json,
  field: string,
  fallback?: number,
  largest = MAX_SIZE,
): number {
  const value = json[field] ?? fallback;
  if (!Number.isInteger(value) || (value as number) < 1) {
    throw new CheckpointError(
      `Cannot read the configuration as ${field} must be a positive integer: current value is ${
        excerpt(value)
      }`,
    );
  }
  if ((value as number) > largest) {
    throw new CheckpointError(
      `Cannot read the configuration as ${field} must be <= ${largest}: current value is ${value}`,
    );
  }
  return value as number;
}

function positive(
  json: Json,
  field: string,
  fallback?: number,
  largest = Number.MAX_VALUE,
): number {
  const value = json[field] ?? fallback;
  if (typeof value !== "number" || !(value > 0 && value <= largest)) {
    throw new CheckpointError(
      `Cannot read the configuration as ${field} must be a positive number${
        largest === Number.MAX_VALUE ? "" : ` <= ${largest}`
      }: current value is ${excerpt(value)}`,
    );
  }
  return value;
}

function flag(json: Json, field: string): boolean {
  const value = json[field] ?? false;
  if (typeof value !== "boolean") {
    throw new CheckpointError(
      `Cannot read the configuration as ${field} must be true or false: current value is ${
        excerpt(value)
      }`,
    );
  }
  return value;
}
