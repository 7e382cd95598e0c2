import { assertEquals, assertThrows } from "@std/assert";
import { tensor } from "../base/tensor.ts";
import { openGguf } from "./gguf.ts";
import {
  ggufWeights,
  huggingFaceName,
  undoRowPermutation,
} from "./gguf_weights.ts";
import { buildGguf, f32Tensor, withFile } from "./testdata/build_gguf.ts";

Deno.test("undoRowPermutation() brings interleaved pairs back to halves", () => {
  // Two heads of width 4; a row holds its Hugging Face index. GGUF stores pair n
  // of a head as rows 2n (first half) and 2n + 1 (second half).
  const stored = [0, 2, 1, 3, 4, 6, 5, 7];
  const rows = Float32Array.from(stored.flatMap((row) => [row, -row]));
  const restored = undoRowPermutation(tensor(rows, [8, 2]), 2);
  assertEquals(
    [...restored.data].map(Math.abs),
    [0, 1, 2, 3, 4, 5, 6, 7].flatMap((row) => [row, row]),
  );
  const bias = tensor(Float32Array.from(stored), [8]);
  assertEquals([...undoRowPermutation(bias, 2).data], [0, 1, 2, 3, 4, 5, 6, 7]);
  assertThrows(() => undoRowPermutation(bias, 3), RangeError, "3 heads");
  assertThrows(() => undoRowPermutation(bias, 8), RangeError, "even width");
});

Deno.test("huggingFaceName() translates what Llama and Qwen2 have", () => {
  const pairs: Readonly<Record<string, string>> = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output.weight": "lm_head.weight",
    "output_norm.weight": "model.norm.weight",
    "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
    "blk.12.attn_k.bias": "model.layers.12.self_attn.k_proj.bias",
    "blk.1.attn_output.weight": "model.layers.1.self_attn.o_proj.weight",
    "blk.1.ffn_norm.weight": "model.layers.1.post_attention_layernorm.weight",
    "blk.1.ffn_gate.weight": "model.layers.1.mlp.gate_proj.weight",
    "blk.1.attn_q_norm.weight": "model.layers.1.self_attn.q_norm.weight",
    "blk.1.ffn_gate_exps.weight": "blk.1.ffn_gate_exps.weight",
    "toString": "toString",
  };
  for (const [name, expected] of Object.entries(pairs)) {
    assertEquals(huggingFaceName(name), expected);
  }
});

for (
  const [architecture, expected] of [
    ["llama", [0, 2, 1, 3]],
    ["qwen2", [0, 1, 2, 3]],
  ] as const
) {
  Deno.test(`ggufWeights() of ${architecture} has Hugging Face's names and rows`, async () => {
    const bytes = buildGguf([
      ["general.architecture", { string: architecture }],
      [`${architecture}.attention.head_count`, { u32: 1 }],
    ], [
      f32Tensor("blk.0.attn_q.weight", [4, 1], [0, 1, 2, 3]),
      f32Tensor("blk.0.attn_k.bias", [4], [0, 1, 2, 3]),
      f32Tensor("blk.0.attn_v.weight", [4, 1], [0, 1, 2, 3]),
      f32Tensor("rope_freqs.weight", [2], [1, 1]),
    ]);
    await withFile(bytes, ".gguf", async (path) => {
      const source = ggufWeights(await openGguf(path));
      assertEquals(source.list().map(({ name }) => name), [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.bias",
        "model.layers.0.self_attn.v_proj.weight",
      ]);
      const [q, k, v] = await Promise.all(
        source.list().map(({ name }) => source.read(name)),
      );
      assertEquals([...q!.data], [...expected] as number[]);
      assertEquals([...k!.data], [...expected]);
      assertEquals([...v!.data], [0, 1, 2, 3]);
      source.close();
    });
  });
}
