import { assertEquals, assertRejects } from "@std/assert";
import { UnsupportedModelError } from "../base/errors.ts";
import { openGguf } from "./gguf.ts";
import { ggufConfig, shortestFloat32 } from "./gguf_config.ts";
import {
  buildGguf,
  f32Tensor,
  type GgufTensor,
  withFile,
} from "./testdata/build_gguf.ts";

type Metadata = Parameters<typeof buildGguf>[0];

function keys(architecture: string): Metadata {
  return [
    ["general.architecture", { string: architecture }],
    [`${architecture}.block_count`, { u32: 2 }],
    [`${architecture}.context_length`, { u32: 512 }],
    [`${architecture}.embedding_length`, { u32: 8 }],
    [`${architecture}.feed_forward_length`, { u32: 16 }],
    [`${architecture}.attention.head_count`, { u32: 2 }],
    [`${architecture}.attention.head_count_kv`, { u32: 1 }],
    [`${architecture}.attention.layer_norm_rms_epsilon`, { f32: 1e-5 }],
    [`${architecture}.rope.freq_base`, { f32: 500000 }],
  ];
}

const EMBEDDING = f32Tensor("token_embd.weight", [3, 8], new Array(24).fill(1));
const BIAS = f32Tensor("blk.0.attn_q.bias", [8], new Array(8).fill(0));
const HEAD = { ...EMBEDDING, name: "output.weight" };

async function configOf(
  metadata: Metadata,
  tensors: readonly GgufTensor[],
): Promise<Record<string, unknown>> {
  return await withFile(buildGguf(metadata, tensors), ".gguf", async (path) => {
    const gguf = await openGguf(path);
    try {
      return await ggufConfig(gguf);
    } finally {
      gguf.tensors.close();
    }
  });
}

Deno.test("ggufConfig() gives config.json's keys", async () => {
  assertEquals(await configOf(keys("llama"), [EMBEDDING]), {
    model_type: "llama",
    vocab_size: 3,
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 4,
    hidden_act: "silu",
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    rope_scaling: null,
    tie_word_embeddings: true,
    attention_bias: false,
  });
});

Deno.test("ggufConfig() sees biases, an own head, key length and other families", async () => {
  const config = await configOf(
    [...keys("qwen2"), ["qwen2.attention.key_length", { u32: 6 }]],
    [EMBEDDING, BIAS, HEAD],
  );
  assertEquals(config["model_type"], "qwen2");
  assertEquals(config["attention_bias"], true);
  assertEquals(config["tie_word_embeddings"], false);
  assertEquals(config["head_dim"], 6);
  assertEquals(
    (await configOf(keys("gemma2"), [EMBEDDING]))["model_type"],
    "gemma2",
  );
});

Deno.test("ggufConfig() passes on features that a configuration is refused for", async () => {
  const config = await configOf([
    ...keys("llama"),
    ["llama.rope.dimension_count", { u32: 2 }],
    ["llama.expert_count", { u32: 8 }],
    ["llama.attention.sliding_window", { u32: 64 }],
    ["llama.rope.scaling.type", { string: "yarn" }],
    ["llama.rope.scaling.factor", { f32: 4 }],
  ], [EMBEDDING]);
  assertEquals(config["partial_rotary_factor"], 0.5);
  assertEquals(config["num_local_experts"], 8);
  assertEquals(config["model_type"], "mistral");
  assertEquals(config["sliding_window"], 64);
  assertEquals(config["rope_scaling"], { rope_type: "yarn", factor: 4 });
  await assertRejects(
    () =>
      configOf(
        [...keys("llama"), ["llama.attention.value_length", { u32: 2 }]],
        [EMBEDDING],
      ),
    UnsupportedModelError,
    "wide",
  );
});

/** Divisors by wavelength, as llama.cpp's converter computes them. */
function llama3Divisors(factor: number, theta: number, pairs: number) {
  return Array.from({ length: pairs }, (_, n) => {
    const wavelength = 2 * Math.PI * theta ** (n / pairs);
    if (wavelength < 8192 / 4) return 1;
    if (wavelength > 8192) return factor;
    const smooth = (8192 / wavelength - 1) / (4 - 1);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

Deno.test("ggufConfig() recognizes llama3's divisors and refuses others", async () => {
  for (const factor of [8, 32]) {
    const divisors = llama3Divisors(factor, 500000, 64);
    const config = await configOf(keys("llama"), [
      EMBEDDING,
      f32Tensor("rope_freqs.weight", [64], divisors),
    ]);
    assertEquals(config["rope_scaling"], {
      rope_type: "llama3",
      factor,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    });
    const others = divisors.with(40, 2.5);
    await assertRejects(
      () =>
        configOf(keys("llama"), [
          EMBEDDING,
          f32Tensor("rope_freqs.weight", [64], others),
        ]),
      UnsupportedModelError,
      "pair 40",
    );
  }
});

Deno.test("shortestFloat32() undoes the rounding of decimals to f32", () => {
  for (const value of [1e-5, 1e-6, 0.1, 10000, 1e6, 1.000001, 16777216]) {
    assertEquals(shortestFloat32(Math.fround(value)), value);
  }
  const odd = Math.fround(1 / 3);
  assertEquals(Math.fround(shortestFloat32(odd)), odd);
});
