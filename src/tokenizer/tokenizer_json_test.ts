import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CheckpointError } from "../base/errors.ts";
import { openTokenizer } from "./tokenizer_json.ts";

/** GPT-2's printable stand-ins of the 256 bytes, in byte order. */
function byteCharacters(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
    byte >= 174;
  let next = 256;
  return Array.from(
    { length: 256 },
    (_, byte) => String.fromCharCode(printable(byte) ? byte : next++),
  );
}

/** A byte-level BPE of 256 bytes, three merges and one special token (id 300). */
function tinyJson(): Record<string, unknown> {
  const vocab: Record<string, number> = {};
  for (const character of byteCharacters()) {
    vocab[character] = Object.keys(vocab).length;
  }
  Object.assign(vocab, { th: 256, the: 257, "12": 258 });
  return {
    version: "1.0",
    added_tokens: [{ id: 300, content: "<|end|>", special: true }],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: ["t h", "th e", "1 2"] },
  };
}

/** The tiny BPE with `change` applied to its model. */
function withModel(change: Record<string, unknown>): Record<string, unknown> {
  const json = tinyJson();
  return { ...json, model: { ...json.model as object, ...change } };
}

Deno.test("openTokenizer() encodes by merges and adds no special token", () => {
  const tokenizer = openTokenizer(tinyJson());
  const byte = (c: string) => tokenizer.encode(c)[0]!;
  assertEquals([...tokenizer.encode("the")], [257]);
  assertEquals([...tokenizer.encode("tha")], [256, byte("a")]);
  assertEquals([...tokenizer.encode("")], []);
});

Deno.test("openTokenizer() takes a post-processor's special tokens out", () => {
  const tokenizer = openTokenizer({
    ...tinyJson(),
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|end|>", type_id: 0 } }, {
        Sequence: { id: "A", type_id: 0 },
      }],
      pair: [],
      special_tokens: {},
    },
  });
  assertEquals([...tokenizer.encode("the")], [257]);
});

Deno.test("openTokenizer() splits Digits before merges, nested Sequences too", () => {
  const nested = tinyJson();
  nested.pre_tokenizer = {
    type: "Sequence",
    pretokenizers: [nested.pre_tokenizer],
  };
  for (const json of [tinyJson(), nested]) {
    assertEquals([...openTokenizer(json).encode("12")].length, 2);
  }
  const whole = tinyJson();
  whole.pre_tokenizer = { type: "ByteLevel", add_prefix_space: false };
  assertEquals([...openTokenizer(whole).encode("12")], [258]);
});

Deno.test("openTokenizer() counts ½ and superscripts as digits", () => {
  // "½²" makes the bytes C2 BD C2 B2. A merge of BD C2 crosses the two
  // characters, so it applies only if they are not split.
  const characters = byteCharacters();
  const pair = characters[0xbd]! + characters[0xc2]!;
  const json = withModel({});
  const model = json.model as {
    vocab: Record<string, number>;
    merges: string[];
  };
  model.vocab[pair] = 259;
  model.merges.push(`${characters[0xbd]} ${characters[0xc2]}`);
  assertEquals(openTokenizer(json).encode("½²").includes(259), false);
  json.pre_tokenizer = {
    type: "Sequence",
    pretokenizers: [
      { type: "Digits", individual_digits: false },
      { type: "ByteLevel", add_prefix_space: false },
    ],
  };
  assertEquals(openTokenizer(json).encode("½²").includes(259), true);
});

Deno.test("decode() returns the text that was encoded, spaces untouched", () => {
  const tokenizer = openTokenizer(tinyJson());
  for (
    const text of [
      "the cat , it 's not . Do n't !",
      " \n\n\n a  ½ 12 ü 漢字 🙂",
      "",
      "the<|end|>the",
    ]
  ) assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
});

Deno.test("decode() refuses an id outside the vocabulary", () => {
  const tokenizer = openTokenizer(tinyJson());
  for (const id of [-1, 301, 1.5]) {
    assertThrows(() => tokenizer.decode([id]), RangeError, "[0, 301)");
  }
});

Deno.test("encode() refuses a token without an id", () => {
  const json = withModel({
    vocab: { a: 0, b: 1 },
    merges: [],
    unk_token: "<unk>",
  });
  const tokenizer = openTokenizer(json);
  assertEquals([...tokenizer.encode("ab")], [0, 1]);
  assertThrows(() => tokenizer.encode("c"), CheckpointError, '"<unk>"');
});

Deno.test("vocabSize counts added tokens and holes", () => {
  assertEquals(openTokenizer(tinyJson()).vocabSize, 301);
});

Deno.test("sha256 does not depend on key order but on content", () => {
  const json = tinyJson();
  const reversed = Object.fromEntries(Object.entries(json).reverse());
  const first = openTokenizer(json).sha256;
  assertMatch(first, /^[0-9a-f]{64}$/);
  assertEquals(openTokenizer(reversed).sha256, first);
  const other = openTokenizer(withModel({ merges: ["t h", "th e"] }));
  assertEquals(other.sha256 === first, false);
});

Deno.test("openTokenizer() refuses what is no tokenizer in one line", () => {
  const cyclic: Record<string, unknown> = tinyJson();
  cyclic.self = cyclic;
  const cases: [unknown, string][] = [
    [null, "the root must be an object: current value is null"],
    [[], "the root must be an object: current value is an array"],
    ["{}", "the root must be an object: current value is string"],
    [{}, "model must be an object"],
    [withModel({ vocab: undefined }), "model.vocab must be an object"],
    [withModel({ vocab: {} }), "model.vocab is empty"],
    [withModel({ type: "WordLevel" }), "BPE, WordPiece, Unigram"],
    [withModel({ merges: undefined }), "model.merges"],
    [withModel({ merges: [5] }), "model.merges[0] must be a pair"],
    [withModel({ merges: ["t h", "t  h"] }), "model.merges[1] must be a pair"],
    [withModel({ merges: [["t", "a"]] }), 'model.merges[0] makes "ta"'],
    [withModel({ vocab: { a: 0, b: 0 } }), 'model.vocab["b"] repeats the id 0'],
    [withModel({ vocab: { a: -1 } }), "current value is -1"],
    [withModel({ vocab: { a: 1e12 } }), "current value is 1000000000000"],
    [withModel({ vocab: { a: "0" } }), 'current value is "0"'],
    [{ ...tinyJson(), added_tokens: {} }, "added_tokens must be an array"],
    [{ ...tinyJson(), added_tokens: [{ id: 1 }] }, "added_tokens[0].content"],
    [{ ...tinyJson(), pre_tokenizer: { type: "Odd" } }, "Odd"],
    [{ ...tinyJson(), pre_tokenizer: 3 }, "pre_tokenizer must be an object"],
    [
      { ...tinyJson(), pre_tokenizer: { type: "Sequence" } },
      "pretokenizers must be an array",
    ],
    [cyclic, "nested deeper"],
  ];
  for (const [json, message] of cases) {
    const error = assertThrows(
      () => openTokenizer(json as Record<string, unknown>),
      CheckpointError,
      message,
    );
    assertEquals((error as Error).message.includes("\n"), false);
  }
});
