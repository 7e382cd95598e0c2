import { assertEquals, assertThrows } from "@std/assert";
import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { ggufTokenizer } from "./gguf_tokenizer.ts";

function metadata(changes: Readonly<Record<string, unknown>> = {}) {
  return new Map(Object.entries({
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["<|end|>", "Ġ", "a", "__proto__", "Ġa", "<u>"],
    "tokenizer.ggml.token_type": [3, 1, 1, 1, 1, 4],
    "tokenizer.ggml.merges": ["Ġ a"],
    ...changes,
  }));
}

Deno.test("ggufTokenizer() builds a byte-level BPE tokenizer.json", () => {
  const json = ggufTokenizer(metadata())!;
  const model = json["model"] as Record<string, unknown>;
  assertEquals(
    Object.entries(model["vocab"] as Record<string, number>),
    [["<|end|>", 0], ["Ġ", 1], ["a", 2], ["__proto__", 3], ["Ġa", 4], [
      "<u>",
      5,
    ]],
  );
  assertEquals(model["merges"], [["Ġ", "a"]]);
  assertEquals(model["ignore_merges"], false);
  const added = json["added_tokens"] as Record<string, unknown>[];
  assertEquals(
    added.map(({ id, content, special }) => [id, content, special]),
    [[0, "<|end|>", true], [5, "<u>", false]],
  );
  assertEquals(json["post_processor"], null);
  const pre = json["pre_tokenizer"] as { pretokenizers: unknown[] };
  assertEquals(pre.pretokenizers[0], {
    type: "Digits",
    individual_digits: true,
  });
});

Deno.test("ggufTokenizer() gives llama-bpe and qwen2 their own splits", () => {
  const splitOf = (pre: string) => {
    const json = ggufTokenizer(metadata({ "tokenizer.ggml.pre": pre }))!;
    const sequence = json["pre_tokenizer"] as {
      pretokenizers: { pattern: { Regex: string } }[];
    };
    const model = json["model"] as Record<string, unknown>;
    const regex = sequence.pretokenizers[0]!.pattern.Regex;
    // JavaScript takes the inline flag of this form as it is.
    const words = "It'S 12345 a\n\n b".match(new RegExp(regex, "gu"));
    return [words, json["normalizer"], model["ignore_merges"]];
  };
  assertEquals(splitOf("llama-bpe"), [
    ["It", "'S", " ", "123", "45", " a", "\n\n", " b"],
    null,
    true,
  ]);
  assertEquals(splitOf("qwen2"), [
    ["It", "'S", " ", "1", "2", "3", "4", "5", " a", "\n\n", " b"],
    { type: "NFC" },
    false,
  ]);
  const gpt2 = ggufTokenizer(metadata({ "tokenizer.ggml.pre": "gpt-2" }))!;
  assertEquals(
    (gpt2["pre_tokenizer"] as Record<string, unknown>)["type"],
    "ByteLevel",
  );
});

Deno.test("ggufTokenizer() has nothing for a file without tokenizer", () => {
  assertEquals(ggufTokenizer(new Map()), undefined);
});

Deno.test("ggufTokenizer() refuses other tokenizers by name", () => {
  for (
    const changes of [
      { "tokenizer.ggml.model": "llama" },
      { "tokenizer.ggml.pre": "deepseek-coder" },
      { "tokenizer.ggml.pre": "toString" },
    ]
  ) {
    assertThrows(
      () => ggufTokenizer(metadata(changes)),
      UnsupportedModelError,
      Object.values(changes)[0],
    );
  }
});

Deno.test("ggufTokenizer() refuses metadata that contradicts itself", () => {
  for (
    const [key, value, part] of [
      ["tokenizer.ggml.tokens", ["a", "a"], "token_type"],
      ["tokenizer.ggml.tokens", ["a", "a", "b", "c", "d", "e"], "twice"],
      ["tokenizer.ggml.tokens", [1, 2], "strings"],
      ["tokenizer.ggml.merges", ["a b c"], '"a b c"'],
      ["tokenizer.ggml.merges", undefined, "merges"],
    ] as const
  ) {
    assertThrows(
      () => ggufTokenizer(metadata({ [key]: value })),
      CheckpointError,
      part,
    );
  }
});
