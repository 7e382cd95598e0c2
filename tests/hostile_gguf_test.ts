// Broken GGUF files: one line that names file and item, says what was found and
// what is allowed. Units beside gguf.ts have further ones.

import { join } from "node:path";
import {
  buildGguf,
  f32Tensor,
  type GgufTensor,
} from "../src/checkpoint/testdata/build_gguf.ts";
import {
  assertRefusedModel,
  type HostileModel,
} from "./fixtures/hostile_model.ts";

type Metadata = Parameters<typeof buildGguf>[0];

const [V, D, d] = [40, 8, 4];
const TOKENS = Array.from(
  { length: V },
  (_, i) => String.fromCharCode(33 + i),
);

const KEYS: Metadata = [
  ["general.architecture", { string: "llama" }],
  ["llama.block_count", { u32: 1 }],
  ["llama.context_length", { u32: 64 }],
  ["llama.embedding_length", { u32: D }],
  ["llama.feed_forward_length", { u32: D }],
  ["llama.attention.head_count", { u32: 2 }],
  ["llama.attention.head_count_kv", { u32: 1 }],
  ["llama.attention.layer_norm_rms_epsilon", { f32: 1e-5 }],
  ["tokenizer.ggml.model", { string: "gpt2" }],
  ["tokenizer.ggml.pre", { string: "gpt-2" }],
  ["tokenizer.ggml.tokens", { strings: TOKENS }],
  ["tokenizer.ggml.merges", { strings: [] }],
  ["tokenizer.ggml.add_bos_token", { bool: false }],
];

const of = (name: string, ...shape: number[]) =>
  f32Tensor(
    name,
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i % 5),
  );
const TENSORS: readonly GgufTensor[] = [
  of("token_embd.weight", V, D),
  of("output_norm.weight", D),
  of("blk.0.attn_norm.weight", D),
  of("blk.0.attn_q.weight", 2 * d, D),
  of("blk.0.attn_k.weight", d, D),
  of("blk.0.attn_v.weight", d, D),
  of("blk.0.attn_output.weight", D, 2 * d),
  of("blk.0.ffn_norm.weight", D),
  of("blk.0.ffn_gate.weight", D, D),
  of("blk.0.ffn_up.weight", D, D),
  of("blk.0.ffn_down.weight", D, D),
];

/** In place of the folder's safetensors: a GGUF. */
function gguf(
  make: () => Uint8Array,
): HostileModel["change"] {
  return async (folder) => {
    for (const name of ["model.safetensors", "config.json", "tokenizer.json"]) {
      await Deno.remove(join(folder, name));
    }
    await Deno.writeFile(join(folder, "tiny.gguf"), make());
  };
}

/** Of one key another value, or none. */
const keyed = (key: string, value?: Metadata[number][1]) =>
  gguf(() => {
    const rest = KEYS.filter(([name]) => name !== key);
    return buildGguf(
      value === undefined ? rest : [...rest, [key, value]],
      TENSORS,
    );
  });

/** Of one tensor another entry. */
const entry = (name: string, change: Partial<GgufTensor>) =>
  gguf(() =>
    buildGguf(
      KEYS,
      TENSORS.map((it) => it.name === name ? { ...it, ...change } : it),
    )
  );

/** Writes a number after the first place where the file has a text. */
const patched = (after: string, skip: number, value: bigint, width: 4 | 8) =>
  gguf(() => {
    const bytes = buildGguf(KEYS, TENSORS);
    const at = after === ""
      ? skip
      : find(bytes, new TextEncoder().encode(after)) + after.length + skip;
    const view = new DataView(bytes.buffer);
    if (width === 8) view.setBigUint64(at, value, true);
    else view.setUint32(at, Number(value), true);
    return bytes;
  });

function find(bytes: Uint8Array, part: Uint8Array): number {
  for (let at = 0; at < bytes.length; at++) {
    if (part.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  throw new RangeError("Cannot find the part");
}

const FILE = "tiny.gguf";
const Q = "blk.0.attn_q.weight";

const CASES: readonly HostileModel[] = [
  {
    what: "with another magic",
    change: patched("", 0, 0x4c4d4747n, 4),
    says: [FILE, 'begins with GGUF: found "GGML"'],
  },
  {
    what: "of a version to come",
    change: patched("", 4, 9n, 4),
    says: [FILE, "version must be 2 or 3", "current value is 9"],
  },
  {
    what: "with 2^60 tensors",
    change: patched("", 8, 2n ** 60n, 8),
    says: [FILE, "1152921504606846976 tensors and 13 keys do not fit in"],
  },
  {
    what: "with 2^60 keys",
    change: patched("", 16, 2n ** 60n, 8),
    says: [FILE, "11 tensors and 1152921504606846976 keys do not fit in"],
  },
  {
    what: "with a value of an unknown type",
    change: patched("llama.block_count", 0, 13n, 4),
    says: [FILE, '"llama.block_count"', "0 to 12: current value is 13"],
  },
  {
    what: "with an array of arrays",
    change: patched("tokenizer.ggml.tokens", 4, 9n, 4),
    says: [FILE, '"tokenizer.ggml.tokens"', "arrays of arrays"],
  },
  {
    what: "with an array longer than the file",
    change: patched("tokenizer.ggml.tokens", 8, 2n ** 40n, 8),
    says: [FILE, '"tokenizer.ggml.tokens"', "current number is 1099511627776"],
  },
  {
    what: "with a string longer than the file",
    change: patched("general.architecture", 4, 2n ** 62n, 8),
    says: [
      FILE,
      '"general.architecture"',
      "at most",
      "current length is 4611686018427387904",
    ],
  },
  {
    what: "with a key longer than the file",
    change: patched("", 24, 2n ** 31n, 8),
    says: [FILE, "metadata key 0", "current length is 2147483648"],
  },
  {
    what: "with a BOOL of 2",
    change: patched("tokenizer.ggml.add_bos_token", 1, 0x02000000n, 4),
    says: [
      FILE,
      '"tokenizer.ggml.add_bos_token"',
      "0 or 1: current value is 2",
    ],
  },
  {
    what: "with a string that is not UTF-8",
    change: patched("general.architecture", 12, 0xffffffffn, 4),
    says: [FILE, '"general.architecture"', "not UTF-8"],
  },
  {
    what: "with a key named __proto__",
    change: keyed("__proto__", { u32: 1 }),
    says: [FILE, '"__proto__"', "reserved"],
  },
  {
    what: "with a key that is there twice",
    change: gguf(() => buildGguf([...KEYS, KEYS[1]!], TENSORS)),
    says: [FILE, '"llama.block_count"', "there twice"],
  },
  {
    what: "cut off in its header",
    change: gguf(() => buildGguf(KEYS, TENSORS).slice(0, 500)),
    says: [FILE, "tokenizer.ggml.tokens", "bytes that are left"],
  },
  {
    what: "cut off in its data",
    change: gguf(() => buildGguf(KEYS, TENSORS).slice(0, -200)),
    says: [FILE, '"blk.0.ffn_down.weight"', "the file is truncated and has"],
  },
  {
    what: "with an offset that is not aligned",
    change: entry(Q, { offset: 8 }),
    says: [FILE, `"${Q}"`, "multiple of 32: current value is 8"],
  },
  {
    what: "with an offset beyond the file",
    change: entry(Q, { offset: 2 ** 40 }),
    says: [FILE, `"${Q}"`, "truncated"],
  },
  {
    what: "with overlapping tensors",
    change: entry(Q, { offset: 0 }),
    says: [FILE, `"${Q}"`, "overlap"],
  },
  {
    what: "with a tensor of an unknown type",
    change: entry(Q, { type: 777 }),
    says: [FILE, `"${Q}"`, "unknown: current value is 777"],
  },
  {
    what: "with a tensor of a type that is not read",
    change: entry(Q, { type: 16 }),
    says: [FILE, `"${Q}"`, "F32, F16", "current value is IQ2_XXS"],
  },
  {
    what: "with five axes",
    change: entry(Q, { shape: [1, 1, 1, 8, 8] }),
    says: [FILE, `"${Q}"`, "1 to 4 axes: current number is 5"],
  },
  {
    what: "with axes that overflow",
    change: entry(Q, { shape: [2 ** 40, 2 ** 40] }),
    says: [FILE, `"${Q}"`, "below 2^53", "1099511627776"],
  },
  {
    what: "with NaN",
    change: entry("output_norm.weight", {
      bytes: new Uint8Array(Float32Array.of(1, NaN, 1, 1, 1, 1, 1, 1).buffer),
    }),
    says: [FILE, '"output_norm.weight"', "finite: element 1 is NaN"],
  },
  {
    what: "with one tensor under two names",
    change: gguf(() =>
      buildGguf(KEYS, [
        ...TENSORS,
        of("model.layers.0.self_attn.q_proj.weight", 2 * d, D),
      ])
    ),
    says: [FILE, `"${Q}"`, "have one name"],
  },
  {
    what: "without head counts",
    change: keyed("llama.attention.head_count"),
    says: ["num_attention_heads must be a positive integer", "undefined"],
  },
  {
    what: "with an architecture that is a number",
    change: keyed("general.architecture", { u32: 7 }),
    says: [FILE, "general.architecture must be text: current value is 7"],
  },
  {
    what: "of an unknown architecture",
    change: keyed("general.architecture", { string: "mamba\n" }),
    says: ["model_type must be one of llama", '"mamba\\n"'],
  },
  {
    what: "with a rotary factor without a kind",
    change: keyed("llama.rope.scaling.factor", { f32: 4 }),
    says: ["rotary scaling must be default or llama3", '"linear"'],
  },
  {
    what: "with another attention scale",
    change: keyed("llama.attention.scale", { f32: 0.5 }),
    says: ["another attention scale", "attention_scale is 0.5"],
  },
  {
    what: "with an unknown tokenizer",
    change: keyed("tokenizer.ggml.model", { string: "llama" }),
    says: [FILE, "tokenizer.ggml.model must be gpt2", '"llama"'],
  },
  {
    what: "with a token that is there twice",
    change: keyed("tokenizer.ggml.tokens", {
      strings: [...TOKENS.slice(1), "a"].fill("a"),
    }),
    says: [FILE, "twice in tokenizer.ggml.tokens"],
  },
  {
    what: "with more tokens than its embedding",
    change: keyed("tokenizer.ggml.tokens", {
      strings: [...TOKENS, "more", "tokens"],
    }),
    says: ["model.vocab has ids up to 41: the embedding has 40 rows"],
  },
];

for (const hostile of CASES) {
  Deno.test(`a GGUF ${hostile.what} is refused in one line`, async () => {
    await assertRefusedModel(hostile);
  });
}
