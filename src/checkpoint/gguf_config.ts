// GGUF metadata in the keys of Hugging Face's config.json. The configuration is
// judged where every config.json is (model/config_json.ts): here it is only
// translated, features that will be refused included.

import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
import type { GgufFile } from "./gguf.ts";

/** general.architecture -> model_type. Mistral's files say llama. */
const MODEL_TYPES: Readonly<Record<string, string>> = {
  llama: "llama",
  qwen2: "qwen2",
};

/** Metadata that changes what a model computes, and what config.json calls it. */
const FEATURES: readonly (readonly [key: string, name: string])[] = [
  ["attn_logit_softcapping", "attn_logit_softcapping"],
  ["final_logit_softcapping", "final_logit_softcapping"],
  ["attention.scale", "attention_scale"],
  ["attention.clamp_kqv", "clip_qkv"],
  ["attention.causal", "is_causal"],
  ["logit_scale", "logit_scale"],
  ["residual_scale", "residual_scale"],
  ["embedding_scale", "embedding_scale"],
];

/** Llama 3.1's parameters besides `factor`: a GGUF stores the divisors that they give, not them. */
const LLAMA3 = { lowFreqFactor: 1, highFreqFactor: 4, originalContext: 8192 };

/**
 * Translates a GGUF's metadata.
 *
 * @param gguf The opened file.
 * @returns The content of a config.json.
 * @throws {UnsupportedModelError} If the rotary frequencies have divisors that no llama3 scaling gives, or queries and values differ in width.
 */
export async function ggufConfig(
  gguf: GgufFile,
): Promise<Record<string, unknown>> {
  const { metadata, tensors } = gguf;
  const architecture = metadata.get("general.architecture");
  if (typeof architecture !== "string") {
    throw new CheckpointError(
      `Cannot read ${gguf.path} as general.architecture must be text: current value is ${
        excerpt(architecture)
      }`,
    );
  }
  const get = (key: string) => metadata.get(`${architecture}.${key}`);
  const float = (key: string) => {
    const value = get(key);
    return typeof value === "number" ? shortestFloat32(value) : value;
  };

  const hiddenSize = get("embedding_length");
  const heads = get("attention.head_count");
  const headDim = get("attention.key_length") ??
    Number(hiddenSize) / Number(heads);
  const valueDim = get("attention.value_length");
  if (valueDim !== undefined && valueDim !== headDim) {
    throw new UnsupportedModelError(
      `Cannot read ${gguf.path} as values must be as wide as keys: current widths are ${
        excerpt(valueDim)
      } and ${excerpt(headDim)}`,
    );
  }
  const ropeTheta = float("rope.freq_base") ?? 10000;
  const slidingWindow = get("attention.sliding_window");
  const modelType = Object.hasOwn(MODEL_TYPES, architecture)
    ? MODEL_TYPES[architecture]!
    : architecture;
  const embedding = tensors.list().find(({ name }) =>
    name === "token_embd.weight"
  );
  const config: Record<string, unknown> = {
    model_type: slidingWindow !== undefined && modelType === "llama"
      ? "mistral"
      : modelType,
    vocab_size: embedding?.shape[0],
    hidden_size: hiddenSize,
    intermediate_size: get("feed_forward_length"),
    num_hidden_layers: get("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: get("attention.head_count_kv") ?? heads,
    head_dim: headDim,
    hidden_act: "silu",
    max_position_embeddings: get("context_length"),
    rms_norm_eps: float("attention.layer_norm_rms_epsilon"),
    rope_theta: ropeTheta,
    rope_scaling: await ropeScaling(gguf, architecture, Number(ropeTheta)),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: tensors.has("blk.0.attn_q.bias"),
  };
  if (slidingWindow !== undefined) {
    config["sliding_window"] = slidingWindow;
    config["use_sliding_window"] = true;
  }
  const rotaryWidth = get("rope.dimension_count");
  if (rotaryWidth !== undefined && rotaryWidth !== headDim) {
    config["partial_rotary_factor"] = Number(rotaryWidth) / Number(headDim);
  }
  const experts = get("expert_count");
  if (experts !== undefined && experts !== 0) {
    config["num_local_experts"] = experts;
  }
  for (const [key, name] of FEATURES) {
    if (get(key) !== undefined) config[name] = get(key);
  }
  return config;
}

/**
 * The decimal with the fewest digits that rounds to a given f32: 1e-5 is stored as
 * 9.99999974737875e-6, and the model was trained with 1e-5.
 */
export function shortestFloat32(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

async function ropeScaling(
  gguf: GgufFile,
  architecture: string,
  theta: number,
): Promise<Record<string, unknown> | null> {
  const get = (key: string) => gguf.metadata.get(`${architecture}.rope.${key}`);
  const factor = get("scaling.factor") ?? get("scale_linear");
  // llama.cpp takes a factor without a type as linear scaling.
  const type = get("scaling.type") ??
    (factor === undefined || factor === 1 ? "none" : "linear");
  if (type !== "none") return { rope_type: type, factor };
  const attention = get("scaling.attn_factor") ?? 1;
  if (attention !== 1) return { rope_type: "attn_factor", factor: attention };
  if (!gguf.tensors.has("rope_freqs.weight")) return null;
  const { data } = await gguf.tensors.read("rope_freqs.weight");
  const largest = data.reduce((most, value) => Math.max(most, value), 1);
  const { lowFreqFactor, highFreqFactor, originalContext } = LLAMA3;
  for (const [n, divisor] of data.entries()) {
    const turns = originalContext * theta ** (-n / data.length) / (2 * Math.PI);
    const kept = Math.min(
      1,
      Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)),
    );
    const expected = 1 / ((1 - kept) / largest + kept);
    // f32 divisors of f32 arithmetic.
    if (!(Math.abs(divisor / expected - 1) < 1e-4)) {
      throw new UnsupportedModelError(
        `Cannot read ${gguf.path} as rope_freqs.weight must be llama3's divisors with factor ${largest} and an original context of ${originalContext}: pair ${n} has ${divisor} in place of ${expected}`,
      );
    }
  }
  return {
    rope_type: "llama3",
    factor: largest,
    low_freq_factor: lowFreqFactor,
    high_freq_factor: highFreqFactor,
    original_max_position_embeddings: originalContext,
  };
}
