import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  CheckpointError,
  ShapeError,
  UnsupportedModelError,
} from "../base/errors.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import type { Checkpoint } from "../checkpoint/tensor_source.ts";
import { parseModelConfig } from "./config_json.ts";
import { loadModel } from "./load.ts";
import { expectedTensors } from "./weight_names.ts";

const LLAMA = {
  model_type: "llama",
  vocab_size: 10,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 4,
  max_position_embeddings: 32,
  tie_word_embeddings: true,
};

/** All tensors that a configuration expects, tensor i filled with i; `reads` counts. */
function checkpoint(
  configJson: Readonly<Record<string, unknown>>,
  change: (tensors: Map<string, Tensor>) => void = () => {},
): Checkpoint & { reads: Map<string, number> } {
  const tensors = new Map<string, Tensor>();
  for (
    const [name, { shape, required }] of expectedTensors(
      parseModelConfig(configJson),
    )
  ) {
    if (!required) continue;
    const size = shape.reduce((product, axis) => product * axis, 1);
    const data = new Float32Array(size).fill(tensors.size);
    tensors.set(name, tensor(data, shape));
  }
  change(tensors);
  const reads = new Map<string, number>();
  return {
    id: "tiny",
    format: "safetensors",
    configJson,
    sha256: "00",
    files: [],
    reads,
    tensors: {
      list: () =>
        [...tensors].map(([name, { shape }]) => ({
          name,
          shape,
          storedType: "F32",
        })),
      has: (name) => tensors.has(name),
      read(name) {
        reads.set(name, (reads.get(name) ?? 0) + 1);
        const { shape, data } = tensors.get(name)!;
        return Promise.resolve({ shape, data });
      },
      close() {},
    },
  };
}

Deno.test("loadModel() gives layers with their own sizes and rotary frequencies", async () => {
  const model = loadModel(checkpoint(LLAMA));
  const { attention, mlp } = await model.layer(1);
  assert(attention.kind === "gqa");
  assertEquals(attention.qProj.weight.shape, [16, 8]);
  assertEquals(attention.kProj.weight.shape, [8, 8]);
  assertEquals(attention.oProj.weight.shape, [8, 16]);
  assertEquals(attention.qProj.bias, undefined);
  assertEquals(mlp.downProj.weight.shape, [8, 12]);
  assertEquals(attention.softmaxScale, 0.5);
  assertEquals(attention.rotary.layout, "half");
  assertEquals([...attention.rotary.frequencies], [1, 0.01]);
  assertEquals((await model.embedTokens()).shape, [10, 8]);
  await assertRejects(() => model.layer(2), RangeError, "0 to 1");
  await assertRejects(() => model.layer(-1), RangeError, "0 to 1");
});

Deno.test("loadModel() reads a tensor once if kept, and each time if not", async () => {
  const name = "model.layers.0.mlp.up_proj.weight";
  for (const [keep, expected] of [[true, 1], [false, 2]] as const) {
    const source = checkpoint(LLAMA);
    const model = loadModel(source, { keep });
    assertEquals(source.reads.size, 0);
    await Promise.all([model.layer(0), model.layer(0)]);
    assertEquals(source.reads.get(name), expected);
    assertEquals(source.reads.has("model.layers.1.mlp.up_proj.weight"), false);
  }
});

Deno.test("loadModel() gives tied embeddings as one object, untied as two", async () => {
  for (const keep of [true, false]) {
    const tied = loadModel(checkpoint(LLAMA), { keep });
    assert(await tied.embedTokens() === await tied.lmHead());
    const untied = loadModel(
      checkpoint({ ...LLAMA, tie_word_embeddings: false }),
      { keep },
    );
    assert(await untied.embedTokens() !== await untied.lmHead());
    assert(
      (await untied.embedTokens()).data[0] !== (await untied.lmHead()).data[0],
    );
  }
});

Deno.test("loadModel() takes biases that the configuration announces", async () => {
  const qwen2 = loadModel(checkpoint({ ...LLAMA, model_type: "qwen2" }));
  const { attention } = await qwen2.layer(0);
  assertEquals(attention.qProj.bias?.shape, [16]);
  assert(attention.kind === "gqa");
  assertEquals(attention.kProj.bias?.shape, [8]);
  assertEquals(attention.oProj.bias, undefined);

  const name = "model.layers.0.self_attn.o_proj.bias";
  const withOutputBias = loadModel(
    checkpoint({ ...LLAMA, attention_bias: true }, (tensors) => {
      tensors.set(name, tensor(new Float32Array(8), [8]));
    }),
  );
  const layer = await withOutputBias.layer(0);
  assertEquals(layer.attention.oProj.bias?.shape, [8]);
});

Deno.test("loadModel() refuses tensors of features that it lacks, by name", () => {
  const one = tensor(new Float32Array(1), [1]);
  for (
    const [name, feature] of [
      ["model.layers.0.self_attn.q_norm.weight", "norms on queries and keys"],
      ["model.layers.0.mlp.experts.0.up_proj.weight", "a mixture of experts"],
      ["blk.0.ffn_gate_exps.weight", "a mixture of experts"],
      ["model.layers.0.pre_feedforward_layernorm.weight", "further norms"],
      ["model.layers.0.self_attn.q_proj.bias", "a bias"],
      ["model.layers.0.mlp.down_proj.bias", "a bias"],
      ["model.layers.0.self_attn.q_proj.qweight", "quantized weights"],
      ["model.layers.2.input_layernorm.weight", "does not know"],
      ["something", "does not know"],
    ] as const
  ) {
    assertThrows(
      () => loadModel(checkpoint(LLAMA, (tensors) => tensors.set(name, one))),
      UnsupportedModelError,
      feature,
    );
  }
  // Left by old versions of transformers.
  loadModel(checkpoint(LLAMA, (tensors) => {
    tensors.set("model.layers.0.self_attn.rotary_emb.inv_freq", one);
  }));
});

Deno.test("loadModel() names missing tensors and wrong shapes", () => {
  const name = "model.layers.1.self_attn.k_proj.weight";
  assertThrows(
    () => loadModel(checkpoint(LLAMA, (tensors) => tensors.delete(name))),
    CheckpointError,
    `"${name}" [8,8]`,
  );
  const wrong = tensor(new Float32Array(128), [16, 8]);
  assertThrows(
    () => loadModel(checkpoint(LLAMA, (tensors) => tensors.set(name, wrong))),
    ShapeError,
    "must have shape [8,8]: current shape is [16,8]",
  );
});
