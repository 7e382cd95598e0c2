// A checkpoint as a decoder. All names and shapes are checked at once, weights are
// read when a layer is asked for.

import { contentKey } from "../base/content_key.ts";
import {
  CheckpointError,
  ShapeError,
  UnsupportedModelError,
} from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
import type { Tensor } from "../base/tensor.ts";
import type { Checkpoint } from "../checkpoint/tensor_source.ts";
import type { ModelConfig } from "./config.ts";
import { parseModelConfig } from "./config_json.ts";
import type { DecoderLayer, DecoderModel, Linear } from "./decoder.ts";
import { ropeFrequencies } from "./rope.ts";
import {
  EMBED_TOKENS,
  expectedTensors,
  FINAL_NORM,
  layerTensor,
  LM_HEAD,
  type NormName,
  type ProjectionName,
} from "./weight_names.ts";

/** Models smaller than this in f32 stay in memory unless told otherwise. */
const KEEP_BELOW_BYTES = 4e9;

/** How loadModel() treats tensors that it has read. */
export interface LoadOptions {
  /** Keep them, so that each is read once. @default true if all weights take less than 4 GB in f32 */
  readonly keep?: boolean;
}

/**
 * Makes a decoder of a checkpoint's weights.
 *
 * @param checkpoint The opened checkpoint; it must stay open while layers are read.
 * @param options Whether tensors stay in memory.
 * @returns The model.
 * @throws {UnsupportedModelError} If it has a feature that is not reproduced exactly.
 * @throws {CheckpointError} If a tensor or a field of the configuration is missing or wrong.
 * @throws {ShapeError} If a tensor has another shape than the configuration says.
 */
export function loadModel(
  checkpoint: Checkpoint,
  options: LoadOptions = {},
): DecoderModel {
  const config = parseModelConfig(checkpoint.configJson);
  const totalBytes = 4 * checkTensors(checkpoint, config);
  const keep = options.keep ?? totalBytes < KEEP_BELOW_BYTES;
  const read = (name: string) => checkpoint.tensors.read(name);
  const frequencies = ropeFrequencies(config);

  const layer = keep
    ? remember((index: number) =>
      readLayer(checkpoint, config, frequencies, index)
    )
    : (index: number) => readLayer(checkpoint, config, frequencies, index);
  const remembered = keep ? remember(read) : shareWhileUsed(read);
  return {
    id: checkpoint.id,
    // The same weights under another ropeTheta are another model.
    sha256: contentKey({ weights: checkpoint.sha256, config: { ...config } }),
    config,
    embedTokens: () => remembered(EMBED_TOKENS),
    async layer(index) {
      if (!(index >= 0 && index < config.numHiddenLayers)) {
        throw new RangeError(
          `Cannot read layer ${index} as it must be from 0 to ${
            config.numHiddenLayers - 1
          }`,
        );
      }
      return await layer(index);
    },
    finalNorm: () => remembered(FINAL_NORM),
    lmHead: () => remembered(config.tieWordEmbeddings ? EMBED_TOKENS : LM_HEAD),
  };
}

/** Checks all names and shapes; returns the number of weights. */
function checkTensors(checkpoint: Checkpoint, config: ModelConfig): number {
  const expected = expectedTensors(config);
  const stored = new Map(
    checkpoint.tensors.list().map((info) => [info.name, info.shape]),
  );
  for (const name of stored.keys()) {
    if (!expected.has(name) && !isIgnored(name)) {
      throw new UnsupportedModelError(
        `Cannot use model ${checkpoint.id} as it has ${
          featureOf(name)
        }: tensor ${excerpt(name)}`,
      );
    }
  }
  let weights = 0;
  for (const [name, { shape, required }] of expected) {
    const found = stored.get(name);
    if (found === undefined) {
      if (!required) continue;
      throw new CheckpointError(
        `Cannot use model ${checkpoint.id} as it must have a tensor "${name}" [${shape}]`,
      );
    }
    if (found.join() !== shape.join()) {
      throw new ShapeError(
        `Cannot use model ${checkpoint.id} as tensor "${name}" must have shape [${shape}]: current shape is [${found}]`,
      );
    }
    weights += shape.reduce((product, axis) => product * axis, 1);
  }
  return weights;
}

/** Buffers that old versions of transformers stored beside the weights. */
function isIgnored(name: string): boolean {
  return name.endsWith(".rotary_emb.inv_freq");
}

const FEATURES: readonly (readonly [RegExp, string])[] = [
  [/\b[qk]_(norm|layernorm)\b/, "norms on queries and keys"],
  [
    /experts|_exps\b|block_sparse_moe|mlp\.gate\.|gate_inp/,
    "a mixture of experts",
  ],
  [/feedforward_layernorm|post_(attention|ffw)_norm/, "further norms"],
  [/qkv_proj|gate_up_proj|attn_qkv/, "fused projections"],
  [/kv_a_proj|kv_b_proj/, "latent attention already"],
  [/lora_[AB]/, "an adapter that is not merged"],
  [/qweight|qzeros|scales|weight_scale/, "quantized weights"],
  [/\.bias$/, "a bias that its configuration does not announce"],
];

function featureOf(name: string): string {
  const known = FEATURES.find(([pattern]) => pattern.test(name));
  return known?.[1] ?? "a tensor that its family does not know";
}

async function readLayer(
  checkpoint: Checkpoint,
  config: ModelConfig,
  frequencies: Float64Array,
  index: number,
): Promise<DecoderLayer> {
  const { tensors } = checkpoint;
  const norm = (part: NormName) => tensors.read(layerTensor(index, part));
  const linear = async (part: ProjectionName): Promise<Linear> => {
    const weight = await tensors.read(layerTensor(index, part));
    const bias = layerTensor(index, part, "bias");
    return tensors.has(bias)
      ? { weight, bias: await tensors.read(bias) }
      : { weight };
  };
  return {
    inputNorm: await norm("input_layernorm"),
    attention: {
      kind: "gqa",
      numAttentionHeads: config.numAttentionHeads,
      numKeyValueHeads: config.numKeyValueHeads,
      headDim: config.headDim,
      softmaxScale: config.headDim ** -0.5,
      rotary: { layout: "half", frequencies },
      qProj: await linear("self_attn.q_proj"),
      kProj: await linear("self_attn.k_proj"),
      vProj: await linear("self_attn.v_proj"),
      oProj: await linear("self_attn.o_proj"),
    },
    postAttentionNorm: await norm("post_attention_layernorm"),
    mlp: {
      gateProj: await linear("mlp.gate_proj"),
      upProj: await linear("mlp.up_proj"),
      downProj: await linear("mlp.down_proj"),
    },
  };
}

/** Reads each key once; a failed read is tried again. */
function remember<K, V>(
  read: (key: K) => Promise<V>,
): (key: K) => Promise<V> {
  const values = new Map<K, Promise<V>>();
  return (key) => {
    let value = values.get(key);
    if (value === undefined) {
      value = read(key);
      values.set(key, value);
      value.catch(() => values.delete(key));
    }
    return value;
  };
}

/** Gives the same tensor as long as somebody holds it: tied embeddings are one object. */
function shareWhileUsed(
  read: (name: string) => Promise<Tensor>,
): (name: string) => Promise<Tensor> {
  const alive = new Map<string, WeakRef<Tensor>>();
  return async (name) => {
    const known = alive.get(name)?.deref();
    if (known !== undefined) return known;
    const value = await read(name);
    alive.set(name, new WeakRef(value));
    return value;
  };
}
