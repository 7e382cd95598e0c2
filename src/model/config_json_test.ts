import { assertEquals, assertThrows } from "@std/assert";
import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { parseModelConfig } from "./config_json.ts";

const LLAMA = {
  model_type: "llama",
  vocab_size: 256,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 512,
  hidden_act: "silu",
};
const MISTRAL = {
  ...LLAMA,
  model_type: "mistral",
  num_key_value_heads: 2,
  sliding_window: null,
};
const QWEN2 = { ...LLAMA, model_type: "qwen2", num_key_value_heads: 2 };

Deno.test("parseModelConfig() has transformers' defaults", () => {
  assertEquals(parseModelConfig(LLAMA), {
    modelType: "llama",
    vocabSize: 256,
    hiddenSize: 64,
    intermediateSize: 128,
    numHiddenLayers: 2,
    numAttentionHeads: 4,
    numKeyValueHeads: 4,
    headDim: 16,
    maxPositionEmbeddings: 512,
    rmsNormEps: 1e-6,
    ropeTheta: 10000,
    tieWordEmbeddings: false,
    attentionBias: false,
  });
});

Deno.test("parseModelConfig() reads what is stated", () => {
  const config = parseModelConfig({
    ...LLAMA,
    num_key_value_heads: 2,
    head_dim: 24,
    rms_norm_eps: 1e-5,
    rope_theta: 500000.0,
    tie_word_embeddings: true,
    attention_bias: true,
    mlp_bias: false,
    rope_scaling: {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
  });
  assertEquals(config.numKeyValueHeads, 2);
  assertEquals(config.headDim, 24);
  assertEquals(config.rmsNormEps, 1e-5);
  assertEquals(config.ropeTheta, 500000);
  assertEquals(config.tieWordEmbeddings, true);
  assertEquals(config.attentionBias, true);
  assertEquals(config.ropeScaling, {
    type: "llama3",
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositionEmbeddings: 8192,
  });
  assertEquals(parseModelConfig(QWEN2).attentionBias, true);
  assertEquals(parseModelConfig(MISTRAL).attentionBias, false);
});

Deno.test("parseModelConfig() reads transformers 5's rope_parameters", () => {
  const { ropeTheta, ropeScaling } = parseModelConfig({
    ...LLAMA,
    rope_parameters: { rope_type: "default", rope_theta: 1000 },
  });
  assertEquals([ropeTheta, ropeScaling], [1000, undefined]);
});

Deno.test("parseModelConfig() refuses features by name", () => {
  const cases: readonly [Readonly<Record<string, unknown>>, string][] = [
    [{ ...LLAMA, model_type: "qwen3" }, "norms on queries and keys"],
    [{ ...LLAMA, model_type: "olmo2" }, "norms on queries and keys"],
    [{ ...LLAMA, model_type: "gemma2" }, "soft-capping"],
    [{ ...LLAMA, model_type: "mixtral" }, "mixture of experts"],
    [{ ...LLAMA, model_type: "constructor" }, '"constructor"'],
    [{ ...LLAMA, model_type: undefined }, "undefined"],
    [{ ...LLAMA, mlp_bias: true }, "biases in the MLP"],
    [{ ...LLAMA, hidden_act: "gelu" }, "silu"],
    [{ ...LLAMA, num_local_experts: 8 }, "mixture of experts"],
    [{ ...LLAMA, final_logit_softcapping: 30 }, "soft-capping"],
    [{ ...LLAMA, partial_rotary_factor: 0.5 }, "part of each head"],
    [{ ...LLAMA, rope_scaling: { type: "linear", factor: 2 } }, '"linear"'],
    [{ ...LLAMA, rope_scaling: { rope_type: "yarn" } }, '"yarn"'],
    [{ ...LLAMA, quantization_config: { quant_method: "awq" } }, '"awq"'],
    [{ ...MISTRAL, sliding_window: 256 }, "sliding-window"],
    [
      { ...MISTRAL, sliding_window: undefined, max_position_embeddings: 32768 },
      "4096",
    ],
    [{ ...MISTRAL, attention_bias: true }, "attention_bias"],
    [
      { ...QWEN2, use_sliding_window: true, sliding_window: 128 },
      "sliding-window",
    ],
    [
      { ...QWEN2, layer_types: ["full_attention", "sliding_attention"] },
      "sliding-window",
    ],
  ];
  for (const [json, part] of cases) {
    assertThrows(() => parseModelConfig(json), UnsupportedModelError, part);
  }
});

Deno.test("parseModelConfig() takes windows that no position leaves", () => {
  for (
    const json of [
      { ...MISTRAL, sliding_window: 512 },
      { ...MISTRAL, sliding_window: undefined },
      { ...QWEN2, use_sliding_window: false, sliding_window: 128 },
      { ...QWEN2, layer_types: ["full_attention", "full_attention"] },
    ]
  ) parseModelConfig(json);
});

Deno.test("parseModelConfig() refuses fields that are missing or out of range", () => {
  const cases: readonly [Readonly<Record<string, unknown>>, string][] = [
    [{ ...LLAMA, hidden_size: undefined }, "hidden_size"],
    [{ ...LLAMA, hidden_size: "64" }, "hidden_size"],
    [{ ...LLAMA, vocab_size: 0 }, "vocab_size"],
    [{ ...LLAMA, vocab_size: 2 ** 40 }, "vocab_size"],
    [{ ...LLAMA, num_hidden_layers: 1e6 }, "<= 1024"],
    [{ ...LLAMA, num_hidden_layers: 1.5 }, "num_hidden_layers"],
    [{ ...LLAMA, num_key_value_heads: 3 }, "multiple of num_key_value_heads"],
    [{ ...LLAMA, num_key_value_heads: [2, 2] }, "num_key_value_heads"],
    [{ ...LLAMA, head_dim: 15 }, "even"],
    [{ ...LLAMA, hidden_size: 66 }, "head_dim"],
    [{ ...LLAMA, rms_norm_eps: -1 }, "rms_norm_eps"],
    [{ ...LLAMA, rope_theta: Infinity }, "rope_theta"],
    [{ ...LLAMA, rope_scaling: [] }, "rope_scaling"],
    [{ ...LLAMA, rope_scaling: { type: "llama3" } }, "factor"],
    [{ ...LLAMA, tie_word_embeddings: 1 }, "tie_word_embeddings"],
    [{ ...QWEN2, num_key_value_heads: undefined }, "num_key_value_heads"],
  ];
  for (const [json, part] of cases) {
    assertThrows(() => parseModelConfig(json), CheckpointError, part);
  }
});
