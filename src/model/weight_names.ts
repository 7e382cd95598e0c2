// Hugging Face's tensor names of Llama, Mistral and Qwen2, with their shapes.

import type { ModelConfig } from "./config.ts";

export const EMBED_TOKENS = "model.embed_tokens.weight";
export const FINAL_NORM = "model.norm.weight";
export const LM_HEAD = "lm_head.weight";

/** The linear maps of a layer. */
export type ProjectionName =
  | "self_attn.q_proj"
  | "self_attn.k_proj"
  | "self_attn.v_proj"
  | "self_attn.o_proj"
  | "mlp.gate_proj"
  | "mlp.up_proj"
  | "mlp.down_proj";

/** The norms of a layer. */
export type NormName = "input_layernorm" | "post_attention_layernorm";

/** Whether a projection's bias is there, is not, or may be. */
export type BiasRule = "required" | "absent" | "optional";

/** The full name of a layer's tensor. */
export function layerTensor(
  layer: number,
  part: ProjectionName | NormName,
  kind: "weight" | "bias" = "weight",
): string {
  return `model.layers.${layer}.${part}.${kind}`;
}

/** Rows and columns, [out, in], of each projection. */
export function projectionShapes(
  config: ModelConfig,
): Readonly<Record<ProjectionName, readonly [number, number]>> {
  const { hiddenSize, intermediateSize } = config;
  const queryWidth = config.numAttentionHeads * config.headDim;
  const keyWidth = config.numKeyValueHeads * config.headDim;
  return {
    "self_attn.q_proj": [queryWidth, hiddenSize],
    "self_attn.k_proj": [keyWidth, hiddenSize],
    "self_attn.v_proj": [keyWidth, hiddenSize],
    "self_attn.o_proj": [hiddenSize, queryWidth],
    "mlp.gate_proj": [intermediateSize, hiddenSize],
    "mlp.up_proj": [intermediateSize, hiddenSize],
    "mlp.down_proj": [hiddenSize, intermediateSize],
  };
}

/** Which projections have biases. Llama's attention_bias puts one on o_proj too; a GGUF of such a model may lack it. */
export function biasRule(config: ModelConfig, part: ProjectionName): BiasRule {
  if (!config.attentionBias || part.startsWith("mlp.")) return "absent";
  if (part !== "self_attn.o_proj") return "required";
  return config.modelType === "llama" ? "optional" : "absent";
}

/**
 * All tensors that a model has or may have.
 *
 * @param config The configuration.
 * @returns Shape of each name, and whether it must be there.
 */
export function expectedTensors(
  config: ModelConfig,
): ReadonlyMap<string, { shape: readonly number[]; required: boolean }> {
  const { hiddenSize, vocabSize } = config;
  const expected = new Map<
    string,
    { shape: readonly number[]; required: boolean }
  >();
  const add = (name: string, shape: readonly number[], required = true) =>
    expected.set(name, { shape, required });
  add(EMBED_TOKENS, [vocabSize, hiddenSize]);
  const shapes = projectionShapes(config);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    add(layerTensor(layer, "input_layernorm"), [hiddenSize]);
    add(layerTensor(layer, "post_attention_layernorm"), [hiddenSize]);
    for (const part of Object.keys(shapes) as ProjectionName[]) {
      add(layerTensor(layer, part), shapes[part]);
      const rule = biasRule(config, part);
      if (rule !== "absent") {
        add(
          layerTensor(layer, part, "bias"),
          [shapes[part][0]],
          rule === "required",
        );
      }
    }
  }
  add(FINAL_NORM, [hiddenSize]);
  // Some files store tied embeddings twice; the copy is not read.
  add(LM_HEAD, [vocabSize, hiddenSize], !config.tieWordEmbeddings);
  return expected;
}
