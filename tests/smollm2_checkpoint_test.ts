// The real GGUF: names, shapes, dequantized weights and tokenizer metadata.
// The digests are of the f32 weights that the Python package gguf 0.19.0 makes of
// the same file, q and k with transformers' row order (numpy: reshape(heads, d/2, 2, D),
// swap the middle axes).

import { createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { loadModel } from "../src/model/load.ts";
import { openTokenizer } from "../src/tokenizer/tokenizer_json.ts";
import { requirement } from "./fixtures/requirements.ts";

const DIGESTS: Readonly<Record<string, string>> = {
  // Q8_0
  "model.embed_tokens.weight":
    "3fd491c8066dd9dc1a2bf6796701526c82817d95c0ecabacdef3013c2b8bbbaa",
  // Q4_1
  "model.layers.29.mlp.down_proj.weight":
    "c19605745425a11e704e305ce3d27b632c406195d39eb3377e9cfb140ac643d1",
  "model.layers.0.self_attn.q_proj.weight":
    "54b377bbfa2deab945dfdba7fb59e0ca3eb74329358bd1b53b635b3ff37c1a56",
  "model.layers.7.self_attn.k_proj.weight":
    "c0853489b02eee1ed7445c54741bd81797cf0b936e6edd0c57cb4a4ac9ef86ef",
  "model.layers.7.self_attn.v_proj.weight":
    "8b6862c014dfc739fbe56bfac2c726cc02ed06fb47a5d68c1fe0ffff2bfcb86b",
};

const { ignore } = requirement("smollm2");

Deno.test({
  name: "openCheckpoint() reads every tensor of SmolLM2's GGUF",
  ignore,
  async fn() {
    const checkpoint = await openCheckpoint("smollm2-135m-q4_1");
    const { tensors } = checkpoint;
    assertEquals(tensors.list().length, 272);
    for (const { name, shape } of tensors.list()) {
      const { data } = await tensors.read(name);
      assertEquals(data.length, shape.reduce((a, b) => a * b, 1), name);
      if (DIGESTS[name] === undefined) continue;
      const bytes = new Uint8Array(
        data.buffer,
        data.byteOffset,
        4 * data.length,
      );
      const digest = createHash("sha256").update(bytes).digest("hex");
      assertEquals(digest, DIGESTS[name], name);
    }
    tensors.close();
  },
});

Deno.test({
  name: "loadModel() gives SmolLM2's layers with tied embeddings",
  ignore,
  async fn() {
    const checkpoint = await openCheckpoint("smollm2-135m-q4_1");
    const model = loadModel(checkpoint);
    assertEquals(model.config, {
      modelType: "llama",
      vocabSize: 49152,
      hiddenSize: 576,
      intermediateSize: 1536,
      numHiddenLayers: 30,
      numAttentionHeads: 9,
      numKeyValueHeads: 3,
      headDim: 64,
      maxPositionEmbeddings: 8192,
      rmsNormEps: 1e-5,
      ropeTheta: 100000,
      tieWordEmbeddings: true,
      attentionBias: false,
    });
    const { attention } = await model.layer(29);
    assertEquals(attention.qProj.weight.shape, [576, 576]);
    assert(await model.lmHead() === await model.embedTokens());
    checkpoint.tensors.close();
  },
});

Deno.test({
  name: "ggufTokenizer() gives SmolLM2's tokenizer",
  ignore,
  async fn() {
    const { tokenizerJson, tensors } = await openCheckpoint(
      "smollm2-135m-q4_1",
    );
    tensors.close();
    const tokenizer = openTokenizer(tokenizerJson!);
    assertEquals(tokenizer.vocabSize, 49152);
    for (
      const text of [
        " = Robert Boulter = \n",
        "In 2004, it cost 1½ €; don't.<|im_end|>",
        "日本語\t\u{1f600}  x",
      ]
    ) {
      assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
    }
    // Digits stand alone; special tokens are found in the text and never added.
    assertEquals(tokenizer.encode("2004").length, 4);
    assertEquals([...tokenizer.encode("<|im_end|>")], [2]);
  },
});
