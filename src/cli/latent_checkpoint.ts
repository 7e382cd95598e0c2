// A converted model as a checkpoint folder, and back. Tensors have DeepSeek's
// names and layouts; what those cannot say (no norm on the latent, the original's
// configuration) is in config.json under `transmla`.

import { z } from "zod";
import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import type { Tensor } from "../base/tensor.ts";
import type {
  StoredDType,
  TensorToWrite,
} from "../checkpoint/safetensors_writer.ts";
import type { Checkpoint } from "../checkpoint/tensor_source.ts";
import { parseModelConfig } from "../model/config_json.ts";
import type {
  DecoderLayer,
  DecoderModel,
  Linear,
  MlaAttention,
} from "../model/decoder.ts";
import { EMBED_TOKENS, FINAL_NORM, LM_HEAD } from "../model/weight_names.ts";

/** Sizes of latent attention, the same in every layer. */
export interface LatentSizes {
  readonly kvLoraRank: number;
  readonly qkRopeHeadDim: number;
  readonly qkNopeHeadDim: number;
  readonly vHeadDim: number;
}

/** The block `transmla` of config.json. */
export const LATENT_BLOCK = z.object({
  format: z.literal(1),
  original: z.object({
    id: z.string(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    config: z.record(z.string(), z.unknown()),
  }),
  method: z.string(),
  options: z.record(z.string(), z.unknown()),
  /** Radians a token of each rotary pair, interleaved. */
  rotaryFrequencies: z.array(z.number().nonnegative()),
  /** DeepSeek's RMSNorm on the latent; a conversion has none. */
  kvALayernorm: z.literal(false),
});

/** What config.json says of a conversion. */
export type LatentBlock = z.infer<typeof LATENT_BLOCK>;

const SIZES = z.object({
  kv_lora_rank: z.int().min(1),
  qk_rope_head_dim: z.int().min(2),
  qk_nope_head_dim: z.int().min(1),
  v_head_dim: z.int().min(1),
});

/**
 * The latent attention of every layer.
 *
 * @param model A converted model.
 * @returns The layers' common sizes and frequencies.
 * @throws {UnsupportedModelError} If a layer is not latent, or differs from the first.
 */
export async function latentSizes(
  model: DecoderModel,
): Promise<LatentSizes & { readonly frequencies: Float64Array }> {
  let first: MlaAttention | undefined;
  for (let index = 0; index < model.config.numHiddenLayers; index++) {
    const attention = latentAttention(model, await model.layer(index), index);
    first ??= attention;
    const same = (Object.keys(first) as (keyof MlaAttention)[]).every((key) =>
      typeof first![key] !== "number" || first![key] === attention[key]
    );
    const sameRotary = attention.rotary.layout === "interleaved" &&
      attention.rotary.frequencies.join() === first.rotary.frequencies.join();
    if (!same || !sameRotary) {
      throw new UnsupportedModelError(
        `Cannot write layer ${index} of ${model.id} as config.json has one latent width and one list of frequencies for all layers`,
      );
    }
  }
  const { kvLoraRank, qkRopeHeadDim, qkNopeHeadDim, vHeadDim } = first!;
  return {
    kvLoraRank,
    qkRopeHeadDim,
    qkNopeHeadDim,
    vHeadDim,
    frequencies: first!.rotary.frequencies,
  };
}

/**
 * The configuration to write: the original's, with DeepSeek's keys for the
 * attention (official modify_config.py).
 *
 * @param sizes Of every layer.
 * @param block What else there is to say.
 * @returns The content of config.json.
 */
export function latentConfig(
  sizes: LatentSizes,
  block: LatentBlock,
): Record<string, unknown> {
  const { config } = block.original;
  return {
    ...config,
    architectures: ["LlamaMLAForCausalLM"],
    model_type: "deepseek_v3",
    num_key_value_heads: config["num_attention_heads"],
    head_dim: sizes.qkRopeHeadDim,
    kv_lora_rank: sizes.kvLoraRank,
    q_lora_rank: null,
    qk_head_dim: sizes.qkNopeHeadDim + sizes.qkRopeHeadDim,
    qk_nope_head_dim: sizes.qkNopeHeadDim,
    qk_rope_head_dim: sizes.qkRopeHeadDim,
    v_head_dim: sizes.vHeadDim,
    rope_interleave: true,
    first_k_dense_replace: config["num_hidden_layers"],
    transmla: block,
  };
}

/**
 * The tensors to write, read when their turn comes.
 *
 * @param model A converted model whose layers are all latent.
 * @param dtype How to store them.
 * @returns One entry a tensor, layer by layer.
 */
export async function latentTensors(
  model: DecoderModel,
  dtype: StoredDType,
): Promise<TensorToWrite[]> {
  const items: TensorToWrite[] = [];
  const add = (name: string, shape: readonly number[], read: () => unknown) =>
    items.push({ name, shape, dtype, read: read as TensorToWrite["read"] });
  const { vocabSize, hiddenSize, numHiddenLayers } = model.config;
  // A layer's tensors are written one after the other: it is read once for all.
  let held: { index: number; parts: Map<string, Tensor> } | undefined;
  const partsOf = async (index: number) => {
    if (held?.index !== index) {
      held = undefined;
      const parts = layerParts(model, await model.layer(index), index);
      held = { index, parts };
    }
    return held.parts;
  };
  add(EMBED_TOKENS, [vocabSize, hiddenSize], () => model.embedTokens());
  for (let index = 0; index < numHiddenLayers; index++) {
    for (const [name, { shape }] of await partsOf(index)) {
      add(name, shape, async () => (await partsOf(index)).get(name));
    }
  }
  held = undefined;
  add(FINAL_NORM, [hiddenSize], () => model.finalNorm());
  if (!model.config.tieWordEmbeddings) {
    add(LM_HEAD, [vocabSize, hiddenSize], () => model.lmHead());
  }
  return items;
}

/**
 * Reads a folder that `deno task convert` wrote.
 *
 * @param checkpoint The opened folder.
 * @returns The converted model and what its config.json says of it.
 * @throws {CheckpointError} If it is not such a folder, or a tensor is missing or misshapen.
 */
export function loadLatentModel(
  checkpoint: Checkpoint,
): { model: DecoderModel; block: LatentBlock; sizes: LatentSizes } {
  const { configJson, id, sha256, tensors } = checkpoint;
  const parsed = LATENT_BLOCK.safeParse(
    configJson["transmla"],
  );
  const parsedSizes = SIZES.safeParse(configJson);
  if (!parsed.success || !parsedSizes.success) {
    const issue = (parsed.error ?? parsedSizes.error)!.issues[0]!;
    throw new CheckpointError(
      `Cannot use ${id} as config.json is not that of a converted model: transmla ${
        issue.path.join(".")
      }: ${issue.message}`,
    );
  }
  const block = parsed.data;
  const config = parseModelConfig(block.original.config);
  const sizes: LatentSizes = {
    kvLoraRank: parsedSizes.data.kv_lora_rank,
    qkRopeHeadDim: parsedSizes.data.qk_rope_head_dim,
    qkNopeHeadDim: parsedSizes.data.qk_nope_head_dim,
    vHeadDim: parsedSizes.data.v_head_dim,
  };
  if (block.rotaryFrequencies.length !== sizes.qkRopeHeadDim / 2) {
    throw new CheckpointError(
      `Cannot use ${id} as transmla.rotaryFrequencies must have ${
        sizes.qkRopeHeadDim / 2
      } numbers: current value is ${block.rotaryFrequencies.length}`,
    );
  }
  const { hiddenSize: D, intermediateSize: I, vocabSize: V } = config;
  const { kvLoraRank: r, qkRopeHeadDim: m, qkNopeHeadDim: n, vHeadDim: v } =
    sizes;
  const heads = config.numAttentionHeads;
  const read = async (name: string, ...shape: number[]): Promise<Tensor> => {
    const tensor = await tensors.read(name);
    if (tensor.shape.join() === shape.join()) return tensor;
    throw new CheckpointError(
      `Cannot use ${id} as tensor ${name} must have shape [${shape}]: current shape is [${tensor.shape}]`,
    );
  };
  const linear = async (name: string, out: number, width: number) => ({
    weight: await read(`${name}.weight`, out, width),
    ...(tensors.has(`${name}.bias`)
      ? { bias: await read(`${name}.bias`, out) }
      : {}),
  });
  const model: DecoderModel = {
    id,
    sha256,
    config,
    embedTokens: () => read(EMBED_TOKENS, V, D),
    finalNorm: () => read(FINAL_NORM, D),
    lmHead: () => read(config.tieWordEmbeddings ? EMBED_TOKENS : LM_HEAD, V, D),
    async layer(index) {
      const at = (part: string) => `model.layers.${index}.${part}`;
      const self = (part: string) => at(`self_attn.${part}`);
      return {
        inputNorm: await read(at("input_layernorm.weight"), D),
        attention: {
          kind: "mla",
          numAttentionHeads: heads,
          numKeyValueHeads: heads,
          ...sizes,
          softmaxScale: (n + m) ** -0.5,
          rotary: {
            layout: "interleaved",
            frequencies: Float64Array.from(block.rotaryFrequencies),
          },
          qProj: await linear(self("q_proj"), heads * (n + m), D),
          kvAProjWithMqa: await linear(self("kv_a_proj_with_mqa"), r + m, D),
          kvBProj: await read(self("kv_b_proj.weight"), heads * (n + v), r),
          oProj: await linear(self("o_proj"), D, heads * v),
        },
        postAttentionNorm: await read(at("post_attention_layernorm.weight"), D),
        mlp: {
          gateProj: await linear(at("mlp.gate_proj"), I, D),
          upProj: await linear(at("mlp.up_proj"), I, D),
          downProj: await linear(at("mlp.down_proj"), D, I),
        },
      };
    },
  };
  return { model, block, sizes };
}

/** A layer's tensors by their stored names. */
function layerParts(
  model: DecoderModel,
  layer: DecoderLayer,
  index: number,
): Map<string, Tensor> {
  const attention = latentAttention(model, layer, index);
  const parts = new Map<string, Tensor>();
  const put = (part: string, tensor: Tensor) =>
    parts.set(`model.layers.${index}.${part}`, tensor);
  const putLinear = (part: string, { weight, bias }: Linear, scale = 1) => {
    put(`${part}.weight`, scaled(weight, scale));
    if (bias !== undefined) put(`${part}.bias`, scaled(bias, scale));
  };
  const { qkNopeHeadDim, qkRopeHeadDim, softmaxScale } = attention;
  // Loaders scale by (n+m)^-1/2; the original's own scale goes into the queries.
  const queryScale = softmaxScale * Math.sqrt(qkNopeHeadDim + qkRopeHeadDim);
  put("input_layernorm.weight", layer.inputNorm);
  putLinear("self_attn.q_proj", attention.qProj, queryScale);
  putLinear("self_attn.kv_a_proj_with_mqa", attention.kvAProjWithMqa);
  put("self_attn.kv_b_proj.weight", perQueryHead(attention));
  putLinear("self_attn.o_proj", attention.oProj);
  put("post_attention_layernorm.weight", layer.postAttentionNorm);
  putLinear("mlp.gate_proj", layer.mlp.gateProj);
  putLinear("mlp.up_proj", layer.mlp.upProj);
  putLinear("mlp.down_proj", layer.mlp.downProj);
  return parts;
}

function scaled(tensor: Tensor, scale: number): Tensor {
  if (scale === 1) return tensor;
  return { shape: tensor.shape, data: tensor.data.map((it) => it * scale) };
}

/** kvBProj with a block for each query head, `[H·(n+v), r]`. */
function perQueryHead(attention: MlaAttention): Tensor {
  const { numAttentionHeads: heads, numKeyValueHeads, kvBProj } = attention;
  const block = kvBProj.data.length / numKeyValueHeads;
  const data = new Float32Array(heads * block);
  for (let head = 0; head < heads; head++) {
    const from = Math.floor(head * numKeyValueHeads / heads);
    data.set(
      kvBProj.data.subarray(from * block, (from + 1) * block),
      head * block,
    );
  }
  const { qkNopeHeadDim, vHeadDim, kvLoraRank } = attention;
  return { shape: [heads * (qkNopeHeadDim + vHeadDim), kvLoraRank], data };
}

function latentAttention(
  model: DecoderModel,
  layer: DecoderLayer,
  index: number,
): MlaAttention {
  if (layer.attention.kind === "mla") return layer.attention;
  throw new UnsupportedModelError(
    `Cannot write layer ${index} of ${model.id} as its attention must be latent (method transmla): current value is ${layer.attention.kind}`,
  );
}
