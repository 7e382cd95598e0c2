// Broken config.json and tokenizer.json: one line that names the item, says what
// was found and what is allowed. Units beside the readers have further ones.

import { join } from "node:path";
import {
  assertRefusedModel,
  changeJson,
  type HostileModel,
} from "./fixtures/hostile_model.ts";

// deno-lint-ignore no-explicit-any -- the content is broken in every way
type Change = (json: any) => string | void;

const config = (change: Change) => (folder: string) =>
  changeJson(join(folder, "config.json"), change);
const tokenizer = (change: Change) => (folder: string) =>
  changeJson(join(folder, "tokenizer.json"), change);

/** Of config.json one field. */
const field = (name: string, value: unknown, ...says: string[]) => ({
  what: `config.json with ${name} ${JSON.stringify(value)?.slice(0, 40)}`,
  change: config((json) => {
    json[name] = value;
  }),
  says,
});

/** A file of a size that costs nothing to make. */
const sparse = (name: string, bytes: number) => async (folder: string) => {
  await Deno.truncate(join(folder, name), bytes);
};

const HUGE = 2 ** 28;

const CASES: readonly HostileModel[] = [
  field("num_attention_heads", undefined, "num_attention_heads must be a"),
  field("num_attention_heads", 0, "positive integer: current value is 0"),
  field("num_attention_heads", -4, "positive integer: current value is -4"),
  field("num_attention_heads", 4.5, "current value is 4.5"),
  field("num_attention_heads", "4", 'current value is "4"'),
  field("num_attention_heads", 1e308, "current value is 1e+308"),
  field("num_key_value_heads", 3, "multiple of num_key_value_heads", "4 and 3"),
  field("num_key_value_heads", [2, 2], "num_key_value_heads", "[2,2]"),
  field("head_dim", 15, "head_dim must be even: current value is 15"),
  field("head_dim", 18, "must have shape [72,64]: current shape is [64,64]"),
  field("vocab_size", 2 ** 40, "vocab_size must be <= 67108864"),
  field("num_hidden_layers", 1e6, "num_hidden_layers must be <= 1024"),
  field("num_hidden_layers", 1, "tensor", "model.layers.1"),
  field("num_hidden_layers", 3, "must have a tensor", "model.layers.2"),
  field("rms_norm_eps", 10, "rms_norm_eps must be a positive number <= 1"),
  field("rms_norm_eps", -1e-6, "rms_norm_eps", "-0.000001"),
  field(
    "rope_theta",
    1e300,
    "rope_theta must be a positive number <= 1e12"
      .replace("1e12", "1000000000000"),
  ),
  field("model_type", "mamba", "llama, mistral, qwen2", '"mamba"'),
  field("model_type", "qwen3", "qwen3 has norms on queries and keys"),
  field("qk_norm", true, "norms on queries and keys", "qk_norm is true"),
  field("use_qk_norm", true, "norms on queries and keys"),
  ...["linear", "dynamic", "yarn", "longrope"].map((kind) =>
    field(
      "rope_scaling",
      { rope_type: kind, factor: 2 },
      "must be default or llama3",
      `"${kind}"`,
    )
  ),
  field("rope_scaling", 3, "rope_scaling must be an object or null", "3"),
  field("layer_types", { 0: "sliding" }, "layer_types", '{"0":"sliding"}'),
  field(
    "use_sliding_window",
    "yes",
    "use_sliding_window must be true or false",
  ),
  field("quantization_config", 4, "weights are quantized", "4"),
  {
    what: "config.json that is not JSON",
    change: config(() => '{"a": \n\x1b[31m'),
    says: ["config.json", "not JSON"],
  },
  {
    what: "config.json that is an array",
    change: config(() => "[1]"),
    says: ["config.json", "must be a JSON object"],
  },
  {
    what: "config.json with a key twice",
    change: config((json) =>
      `{"head_dim": 16, ${JSON.stringify(json).slice(1)}`
    ),
    says: ["config.json", '"head_dim" is there twice'],
  },
  {
    what: "config.json with __proto__",
    change: config((json) =>
      `{"__proto__": 1, ${JSON.stringify(json).slice(1)}`
    ),
    says: ["config.json", "__proto__"],
  },
  {
    what: "config.json nested 100,000 deep",
    change: config(() => `{"a":${"[".repeat(1e5)}${"]".repeat(1e5)}}`),
    says: ["config.json", "nested deeper than 32"],
  },
  {
    what: "config.json in UTF-16",
    change: async (folder) => {
      await Deno.writeFile(
        join(folder, "config.json"),
        Uint8Array.of(0xff, 0xfe, 0x7b, 0, 0x7d, 0),
      );
    },
    says: ["config.json", "not UTF-8"],
  },
  {
    what: "config.json of 256 MiB",
    change: sparse("config.json", HUGE),
    says: ["config.json", "at most 134217728 bytes: its size is 268435456"],
  },
  {
    what: "tokenizer.json of 256 MiB",
    change: sparse("tokenizer.json", HUGE),
    says: ["tokenizer.json", "at most 134217728 bytes: its size is 268435456"],
  },
  {
    what: "tokenizer.json that is not JSON",
    change: tokenizer(() => "{"),
    says: ["tokenizer.json", "not JSON"],
  },
  {
    what: "tokenizer.json without a model",
    change: tokenizer((json) => {
      delete json.model;
    }),
    says: ["tokenizer", "model must be an object: current value is undefined"],
  },
  {
    what: "tokenizer.json with a model that is text",
    change: tokenizer((json) => {
      json.model = "BPE";
    }),
    says: ["model must be an object: current value is string"],
  },
  {
    what: "tokenizer.json with an id that is text",
    change: tokenizer((json) => {
      json.model.vocab["a"] = "97";
    }),
    says: ['model.vocab["a"]', 'current value is "97"'],
  },
  {
    what: "tokenizer.json with a negative id",
    change: tokenizer((json) => {
      json.model.vocab["a"] = -1;
    }),
    says: ['model.vocab["a"] must be an integer in [0,', "current value is -1"],
  },
  {
    what: "tokenizer.json with an id beyond the embedding",
    change: tokenizer((json) => {
      json.model.vocab["a"] = 256;
    }),
    says: ["model.vocab has ids up to 256: the embedding has 256 rows"],
  },
  {
    what: "tokenizer.json with a token of text beyond the embedding",
    change: tokenizer((json) => {
      json.added_tokens = [{ id: 300, content: "The", special: false }];
    }),
    says: ['token "The" has the id 300: the embedding has 256 rows'],
  },
  {
    what: "tokenizer.json with merges of what is no token",
    change: tokenizer((json) => {
      json.model.merges = ["a b\n"];
    }),
    says: ['model.merges[0] makes "ab\\n", which is not in model.vocab'],
  },
  {
    what: "tokenizer.json without a byte of the text",
    change: tokenizer((json) => {
      delete json.model.vocab["T"];
    }),
    says: ['byte 84 ("T") is not in the vocabulary'],
  },
  {
    what: "tokenizer.json of an unknown kind",
    change: tokenizer((json) => {
      json.model.type = "WordLevel";
    }),
    says: ['BPE, WordPiece, Unigram: current value is "WordLevel"'],
  },
  {
    what: "tokenizer.json with an unknown step",
    change: tokenizer((json) => {
      json.pre_tokenizer = { type: "Odd" };
    }),
    says: ["tokenizer", "Odd"],
  },
];

for (const hostile of CASES) {
  Deno.test(`${hostile.what} is refused in one line`, async () => {
    await assertRefusedModel(hostile);
  });
}
