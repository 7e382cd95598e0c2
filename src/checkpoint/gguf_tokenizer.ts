// tokenizer.json's content from a GGUF's metadata: byte-level BPE only. The pre-
// tokenizer is a name in the metadata (`tokenizer.ggml.pre`); the splits that the
// names stand for are those of the models' own tokenizer.json files.

import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
import type { GgufMetadata } from "./gguf_header.ts";

/** GGUF's token types that concern a tokenizer.json. */
const CONTROL = 3;
const USER_DEFINED = 4;

interface PreTokenizer {
  readonly normalizer: Readonly<Record<string, unknown>> | null;
  readonly steps: readonly Readonly<Record<string, unknown>>[];
  /** Whether a word that is a token is taken whole, merges aside. */
  readonly ignoreMerges: boolean;
}

const byteLevel = (splitsWords: boolean) => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: splitsWords,
});

/** GPT-4's split, with runs of at most `digits` digits. */
const split = (digits: string) => ({
  type: "Split",
  pattern: {
    Regex:
      `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  },
  behavior: "Isolated",
  invert: false,
});

const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  "gpt-2": {
    normalizer: null,
    steps: [byteLevel(true)],
    ignoreMerges: false,
  },
  "smollm": {
    normalizer: null,
    steps: [{ type: "Digits", individual_digits: true }, byteLevel(true)],
    ignoreMerges: false,
  },
  "qwen2": {
    normalizer: { type: "NFC" },
    steps: [split("\\p{N}"), byteLevel(false)],
    ignoreMerges: false,
  },
  "llama-bpe": {
    normalizer: null,
    steps: [split("\\p{N}{1,3}"), byteLevel(false)],
    ignoreMerges: true,
  },
};

/**
 * Builds a tokenizer.json.
 *
 * @param metadata A GGUF's metadata.
 * @param path The file, for messages.
 * @returns The content, without a post-processor: encoding adds no special tokens; undefined if the file has no tokenizer.
 * @throws {UnsupportedModelError} If the tokenizer is not byte-level BPE or its pre-tokenizer is unknown.
 * @throws {CheckpointError} If tokens, types and merges contradict each other.
 */
export function ggufTokenizer(
  metadata: GgufMetadata,
  path = "this file",
): Record<string, unknown> | undefined {
  const model = metadata.get("tokenizer.ggml.model");
  if (model === undefined || model === "none") return undefined;
  if (model !== "gpt2") {
    throw new UnsupportedModelError(
      `Cannot read the tokenizer of ${path} as tokenizer.ggml.model must be gpt2 (byte-level BPE): current value is ${
        excerpt(model)
      }`,
    );
  }
  const pre = metadata.get("tokenizer.ggml.pre");
  if (typeof pre !== "string" || !Object.hasOwn(PRE_TOKENIZERS, pre)) {
    throw new UnsupportedModelError(
      `Cannot read the tokenizer of ${path} as tokenizer.ggml.pre must be one of ${
        Object.keys(PRE_TOKENIZERS).join(", ")
      }: current value is ${excerpt(pre)}`,
    );
  }
  const { normalizer, steps, ignoreMerges } = PRE_TOKENIZERS[pre]!;
  const tokens = strings(metadata, "tokenizer.ggml.tokens", path);
  const merges = strings(metadata, "tokenizer.ggml.merges", path)
    .map((merge) => splitMerge(merge, path));
  const types = metadata.get("tokenizer.ggml.token_type") ??
    tokens.map(() => 1);
  if (!Array.isArray(types) || types.length !== tokens.length) {
    throw new CheckpointError(
      `Cannot read the tokenizer of ${path} as tokenizer.ggml.token_type must have ${tokens.length} entries`,
    );
  }
  if (new Set(tokens).size !== tokens.length) {
    throw new CheckpointError(
      `Cannot read the tokenizer of ${path} as a token is there twice in tokenizer.ggml.tokens`,
    );
  }
  const addedTokens = tokens.flatMap((content, id) =>
    types[id] === CONTROL || types[id] === USER_DEFINED
      ? [{
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: types[id] === CONTROL,
      }]
      : []
  );
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens,
    normalizer,
    pre_tokenizer: steps.length === 1
      ? steps[0]
      : { type: "Sequence", pretokenizers: steps },
    post_processor: null,
    decoder: byteLevel(true),
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges,
      // fromEntries makes an own property of a token named __proto__ too.
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

function strings(
  metadata: GgufMetadata,
  key: string,
  path: string,
): readonly string[] {
  const value = metadata.get(key);
  if (
    !Array.isArray(value) || !value.every((item) => typeof item === "string")
  ) {
    throw new CheckpointError(
      `Cannot read the tokenizer of ${path} as ${key} must be an array of strings`,
    );
  }
  return value;
}

/** "Ġ t" -> ["Ġ", "t"]. Byte-level tokens hold no space. */
function splitMerge(merge: string, path: string): [string, string] {
  const parts = merge.split(" ");
  const [left, right] = parts;
  if (parts.length !== 2 || !left || !right) {
    throw new CheckpointError(
      `Cannot read the tokenizer of ${path} as a merge must be two tokens: current value is ${
        excerpt(merge)
      }`,
    );
  }
  return [left, right];
}
