// A GGUF's tensors under Hugging Face's names, in Hugging Face's row order.

import { CheckpointError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
import type { Tensor } from "../base/tensor.ts";
import type { GgufFile } from "./gguf.ts";
import type { TensorInfo, TensorSource } from "./tensor_source.ts";

const MODEL_NAMES: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

/** Parts of a layer; norms on queries and keys are named so that a loader can refuse them. */
const LAYER_NAMES: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/**
 * Hugging Face's name of a GGUF tensor.
 *
 * @param name GGUF's name, "blk.0.attn_q.weight".
 * @returns "model.layers.0.self_attn.q_proj.weight"; the name itself where Llama and Qwen2 have no such tensor.
 */
export function huggingFaceName(name: string): string {
  if (Object.hasOwn(MODEL_NAMES, name)) return MODEL_NAMES[name]!;
  const [, layer, part, kind] =
    /^blk\.(\d+)\.([a-z_]+)\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined || !Object.hasOwn(LAYER_NAMES, part)) return name;
  return `model.layers.${layer}.${LAYER_NAMES[part]}.${kind}`;
}

/**
 * Undoes the row order that llama.cpp's converter gives q and k of architecture
 * `llama`: in each head, GGUF row 2n + j <-> Hugging Face row j·d/2 + n (pair n, half j).
 *
 * @param from Weight [heads·d, D] or bias [heads·d] in GGUF's order.
 * @param heads H for q, G for k.
 * @returns The same rows in Hugging Face's order.
 * @throws {RangeError} If the rows are not `heads` heads of even width.
 */
export function undoRowPermutation(from: Tensor, heads: number): Tensor {
  const rows = from.shape[0] ?? 0;
  const headDim = rows / heads;
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    throw new RangeError(
      `Cannot reorder rows as there must be ${heads} heads of even width: current number of rows is ${rows}`,
    );
  }
  const width = from.data.length / rows;
  const data = new Float32Array(from.data.length);
  for (let head = 0; head < heads; head++) {
    for (let n = 0; n < headDim / 2; n++) {
      for (let half = 0; half < 2; half++) {
        const source = head * headDim + 2 * n + half;
        const target = head * headDim + half * headDim / 2 + n;
        data.set(
          from.data.subarray(source * width, (source + 1) * width),
          target * width,
        );
      }
    }
  }
  return { shape: from.shape, data };
}

/**
 * Wraps a GGUF's tensors.
 *
 * @param gguf The opened file.
 * @returns Its tensors under Hugging Face's names, without rope_freqs.weight, which the configuration holds.
 * @throws {CheckpointError} If two tensors have one name.
 */
export function ggufWeights(gguf: GgufFile): TensorSource {
  const { metadata, tensors } = gguf;
  const ownNames = new Map(
    tensors.list().filter(({ name }) => name !== "rope_freqs.weight").map((
      { name },
    ) => [huggingFaceName(name), name]),
  );
  const names = new Set(ownNames.values());
  for (const { name } of tensors.list()) {
    if (names.has(name) || name === "rope_freqs.weight") continue;
    throw new CheckpointError(
      `Cannot read ${gguf.path} as tensors ${excerpt(name)} and ${
        excerpt(ownNames.get(huggingFaceName(name)))
      } have one name: ${excerpt(huggingFaceName(name))}`,
    );
  }
  const heads: Readonly<Record<string, unknown>> =
    metadata.get("general.architecture") === "llama"
      ? {
        q_proj: metadata.get("llama.attention.head_count"),
        k_proj: metadata.get("llama.attention.head_count_kv") ??
          metadata.get("llama.attention.head_count"),
      }
      : {};
  const infos = new Map(tensors.list().map((info) => [info.name, info]));
  return {
    list: () =>
      [...ownNames].map(([name, own]): TensorInfo => ({
        ...infos.get(own)!,
        name,
      })),
    has: (name) => ownNames.has(name),
    async read(name) {
      const stored = await tensors.read(ownNames.get(name) ?? name);
      const [, projection] = /\.(q_proj|k_proj)\./.exec(name) ?? [];
      if (projection === undefined || !(projection in heads)) return stored;
      const count = heads[projection];
      const rows = stored.shape[0] ?? 0;
      if (typeof count !== "number" || rows % (2 * count) !== 0) {
        throw new CheckpointError(
          `Cannot read tensor ${
            excerpt(name)
          } of ${gguf.path} as its ${rows} rows must be heads of even width: current number of heads is ${
            excerpt(count)
          }`,
        );
      }
      return undoRowPermutation(stored, count);
    },
    close: () => tensors.close(),
  };
}
