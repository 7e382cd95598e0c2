// Opens a tokenizer.json through @huggingface/tokenizers. The object may come
// from a file or be built from a GGUF's metadata; it is hostile until checked.

import { createHash } from "node:crypto";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { CheckpointError } from "../base/errors.ts";
import { excerpt, oneLine } from "../base/excerpt.ts";
import { bytesWithoutToken } from "./byte_coverage.ts";
import { stepProblem } from "./steps.ts";
import type { Tokenizer } from "./tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;

const MODEL_TYPES = ["BPE", "WordPiece", "Unigram"];
const MAX_VOCAB_SIZE = 1 << 24;
const MAX_DEPTH = 32;

/**
 * Opens a tokenizer. Texts are encoded without special tokens added and ids
 * decoded without clean-up of spaces.
 *
 * @param tokenizerJson The content of a tokenizer.json.
 * @param embeddingRows V of the model, if it is known. Added tokens may lie beyond (a padding token that no text holds), until one is needed.
 * @returns The tokenizer.
 * @throws {CheckpointError} If the object is malformed, of an unknown kind, or its vocabulary is larger than the embedding.
 */
export function openTokenizer(
  tokenizerJson: Json,
  embeddingRows = MAX_VOCAB_SIZE,
): Tokenizer {
  const root = object(tokenizerJson, "the root");
  const canonical = canonicalJson(root, 0);
  const model = object(root.model, "model");
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined);
  if (typeof type !== "string" || !MODEL_TYPES.includes(type)) {
    throw malformed(
      `model.type must be one of ${MODEL_TYPES.join(", ")}: current value is ${
        excerpt(type)
      }`,
    );
  }
  const added = root.added_tokens ?? [];
  if (!Array.isArray(added)) throw malformed("added_tokens must be an array");
  const vocabSize = checkVocabulary(model.vocab, type, added, embeddingRows);
  if (type === "BPE") checkMerges(model);
  for (const part of ["normalizer", "pre_tokenizer", "decoder"] as const) {
    const problem = stepProblem(root[part], part);
    if (problem !== undefined) throw malformed(problem);
  }
  let library: LibraryTokenizer;
  try {
    library = new LibraryTokenizer({
      ...root,
      model: { ...model, type },
      added_tokens: added,
      normalizer: root.normalizer ?? null,
      pre_tokenizer: withUnicodeDigits(root.pre_tokenizer ?? null),
      // It adds special tokens, which no text is encoded with here.
      post_processor: null,
      decoder: root.decoder ?? null,
    }, { clean_up_tokenization_spaces: false });
  } catch (error) {
    throw malformed(error instanceof Error ? error.message : String(error));
  }
  const lostBytes = type === "BPE" ? bytesWithoutToken(root, model) : [];
  if (lostBytes === undefined) {
    throw malformed(
      "model.unk_token must name a token where neither a ByteLevel pre-tokenizer nor byte_fallback covers every text",
    );
  }
  return new JsonTokenizer(
    library,
    vocabSize,
    embeddingRows,
    lostBytes,
    sha256(canonical),
  );
}

class JsonTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly sha256: string;
  readonly #library: LibraryTokenizer;
  readonly #embeddingRows: number;
  readonly #lostBytes: ReadonlySet<number>;

  constructor(
    library: LibraryTokenizer,
    vocabSize: number,
    embeddingRows: number,
    lostBytes: readonly number[],
    sha256: string,
  ) {
    this.#library = library;
    this.#embeddingRows = embeddingRows;
    this.#lostBytes = new Set(lostBytes);
    this.vocabSize = vocabSize;
    this.sha256 = sha256;
  }

  encode(text: string): Int32Array {
    if (this.#lostBytes.size > 0) this.#refuseLostBytes(text);
    const { ids, tokens } = inOneLine(
      "encode a text",
      () => this.#library.encode(text, { add_special_tokens: false }),
    );
    // The library gives undefined for a token outside the vocabulary, which an
    // Int32Array would silently store as 0.
    for (let i = 0; i < ids.length; i++) {
      if (ids[i]! >= this.#embeddingRows) {
        throw new CheckpointError(
          `Cannot encode a text as token ${excerpt(tokens[i])} has the id ${
            ids[i]
          }: the embedding has ${this.#embeddingRows} rows`,
        );
      }
      if (ids[i] === undefined) {
        throw new CheckpointError(
          `Cannot encode a text as token ${
            excerpt(tokens[i])
          } is not in the vocabulary and neither is the unknown token`,
        );
      }
    }
    return Int32Array.from(ids);
  }

  /** Neither this library nor the reference implementation says that a text loses what no token stands for. */
  #refuseLostBytes(text: string): void {
    const lost = new TextEncoder().encode(text)
      .find((byte) => this.#lostBytes.has(byte));
    if (lost === undefined) return;
    throw new CheckpointError(
      `Cannot encode a text as byte ${lost} (${
        excerpt(String.fromCharCode(lost))
      }) is not in the vocabulary and there is no unknown token`,
    );
  }

  decode(ids: ArrayLike<number>): string {
    if (ids.length === 0) return "";
    const list = Array.from(ids);
    for (const id of list) {
      if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) {
        throw new RangeError(
          `Cannot decode a token id as it must be in [0, ${this.vocabSize}): current value is ${id}`,
        );
      }
    }
    return inOneLine("decode token ids", () =>
      this.#library.decode(list, {
        skip_special_tokens: false,
        clean_up_tokenization_spaces: false,
      }));
  }
}

/** What the library meets in a step only when it runs it. */
function inOneLine<T>(action: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new CheckpointError(
      `Cannot ${action} with this tokenizer: ${
        oneLine(error instanceof Error ? error.message : String(error))
      }`,
    );
  }
}

/**
 * The library splits `Digits` with `\d`, the reference implementation with
 * `\p{N}` (so also ½ and superscripts): a Split says the same exactly.
 */
function withUnicodeDigits(preTokenizer: unknown): unknown {
  if (preTokenizer === null) return null;
  const config = object(preTokenizer, "pre_tokenizer");
  if (config.type === "Digits") {
    const Regex = config.individual_digits === true ? "\\p{N}" : "\\p{N}+";
    return {
      type: "Split",
      pattern: { Regex },
      behavior: "Isolated",
      invert: false,
    };
  }
  if (config.type !== "Sequence") return config;
  if (!Array.isArray(config.pretokenizers)) {
    throw malformed("pre_tokenizer.pretokenizers must be an array");
  }
  return {
    ...config,
    pretokenizers: config.pretokenizers.map(withUnicodeDigits),
  };
}

/** Checks ids and contents, and returns the largest id + 1. */
function checkVocabulary(
  vocab: unknown,
  type: string,
  added: readonly unknown[],
  embeddingRows: number,
): number {
  const seen = new Set<number>();
  if (type === "Unigram") {
    if (!Array.isArray(vocab) || vocab.length === 0) {
      throw malformed("model.vocab of a Unigram model must be an array");
    }
    for (let id = 0; id < vocab.length; id++) seen.add(id);
  } else {
    for (const [token, id] of Object.entries(object(vocab, "model.vocab"))) {
      const where = `model.vocab[${excerpt(token)}]`;
      checkId(id, where);
      if (seen.has(id)) throw malformed(`${where} repeats the id ${id}`);
      seen.add(id);
    }
    if (seen.size === 0) throw malformed("model.vocab is empty");
  }
  const base = largestOf(seen) + 1;
  if (base > embeddingRows) {
    throw malformed(
      `model.vocab has ids up to ${
        base - 1
      }: the embedding has ${embeddingRows} rows`,
    );
  }
  added.forEach((token, i) => {
    const { id, content } = object(token, `added_tokens[${i}]`);
    checkId(id, `added_tokens[${i}].id`);
    if (typeof content !== "string" || content === "") {
      throw malformed(`added_tokens[${i}].content must be a non-empty string`);
    }
    seen.add(id);
  });
  return largestOf(seen) + 1;
}

/** The largest id; Math.max() cannot take so many arguments. */
function largestOf(ids: ReadonlySet<number>): number {
  let largest = 0;
  for (const id of ids) if (id > largest) largest = id;
  return largest;
}

/** Checks that merges lead to tokens of the vocabulary: the library would drop others from a text in silence. */
function checkMerges(model: Json): void {
  if (!Array.isArray(model.merges)) {
    throw malformed("model.merges of a BPE model must be an array");
  }
  const vocab = object(model.vocab, "model.vocab");
  const prefix = model.continuing_subword_prefix;
  model.merges.forEach((merge: unknown, i) => {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    if (
      !Array.isArray(pair) || pair.length !== 2 ||
      !pair.every((part) => typeof part === "string" && part !== "")
    ) {
      throw malformed(
        `model.merges[${i}] must be a pair of tokens: current value is ${
          excerpt(merge)
        }`,
      );
    }
    const [left, right] = pair as [string, string];
    const merged = typeof prefix === "string" && right.startsWith(prefix)
      ? left + right.slice(prefix.length)
      : left + right;
    if (!Object.hasOwn(vocab, merged)) {
      throw malformed(
        `model.merges[${i}] makes ${
          excerpt(merged)
        }, which is not in model.vocab`,
      );
    }
  });
}

function checkId(id: unknown, where: string): asserts id is number {
  if (
    typeof id !== "number" || !Number.isInteger(id) || id < 0 ||
    id >= MAX_VOCAB_SIZE
  ) {
    throw malformed(
      `${where} must be an integer in [0, ${MAX_VOCAB_SIZE}): current value is ${
        excerpt(id)
      }`,
    );
  }
}

function object(value: unknown, where: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const kind = Array.isArray(value)
      ? "an array"
      : value === null
      ? "null"
      : typeof value;
    throw malformed(`${where} must be an object: current value is ${kind}`);
  }
  return value as Json;
}

/** JSON with sorted keys and no spaces, so that key order does not decide the sha256. */
function canonicalJson(value: unknown, depth: number): string {
  if (depth > MAX_DEPTH) {
    throw malformed(`it is nested deeper than ${MAX_DEPTH} levels`);
  }
  if (Array.isArray(value)) {
    return `[${value.map((v) => canonicalJson(v, depth + 1)).join(",")}]`;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined)
      .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
      .map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v, depth + 1)}`);
    return `{${entries.join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function malformed(reason: string): CheckpointError {
  return new CheckpointError(
    `Cannot open the tokenizer as ${oneLine(reason)}`,
  );
}
