// Arbitrary values where a reader wants a certain one: refused in short lines.
// fuzz_*_test.ts mutate valid files; here nothing is near to valid, and what
// fails is shrunk to its smallest.

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { CheckpointError } from "../src/base/errors.ts";
import { excerpt, oneLine } from "../src/base/excerpt.ts";
import { parseJsonObject } from "../src/checkpoint/strict_json.ts";
import { parseExperiment } from "../src/experiment/experiment_file.ts";
import { parseCell } from "../src/experiment/record_schema.ts";
import { parseModelConfig } from "../src/model/config_json.ts";
import { openTokenizer } from "../src/tokenizer/tokenizer_json.ts";
import { fuzzSeed } from "./fixtures/fuzz.ts";
import { hasHiddenKeys } from "./fixtures/fuzz_json.ts";
import { assertRefusal } from "./fixtures/fuzz_verdict.ts";

// fast-check prints the seed and the path of what failed.
const RUNS = {
  seed: fuzzSeed(),
  numRuns: Number(Deno.env.get("TRANSMLA_FUZZ_CASES") ?? 500),
};

type Json = Readonly<Record<string, unknown>>;

/** Values of JSON, names that objects inherit among the keys. */
const json = fc.object({
  maxDepth: 4,
  key: fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom(
      "model",
      "vocab",
      "merges",
      "type",
      "constructor",
      "method",
    ),
  ),
  values: [
    fc.string({ unit: "binary" }),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
  ],
});

for (
  const [what, read] of [
    ["parseModelConfig()", (value: Json) => parseModelConfig(value)],
    ["openTokenizer()", (value: Json) => openTokenizer(value)],
    ["parseCell()", (value: Json) => parseCell(value, "cell.json")],
  ] as const
) {
  Deno.test(`${what} refuses arbitrary objects in one line`, () => {
    fc.assert(
      fc.property(json, (value) => {
        try {
          read(value as Json);
        } catch (error) {
          assertRefusal(error);
          return;
        }
        throw new Error("it was accepted");
      }),
      RUNS,
    );
  });
}

Deno.test("parseModelConfig() refuses a good configuration with an arbitrary field, or has it", () => {
  const good = {
    model_type: "llama",
    vocab_size: 256,
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 512,
  };
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(good)),
      fc.oneof(fc.integer(), fc.double(), fc.jsonValue()),
      (field, value) => {
        try {
          const config = parseModelConfig({ ...good, [field]: value });
          const name = field.replaceAll(
            /_(\w)/g,
            (_, letter: string) => letter.toUpperCase(),
          );
          const expected = field === "num_key_value_heads" && value === null
            ? good.num_attention_heads
            : value;
          assertEquals(
            config[name as keyof typeof config] as unknown,
            expected,
          );
        } catch (error) {
          assertRefusal(error);
        }
      },
    ),
    RUNS,
  );
});

Deno.test("parseExperiment() refuses arbitrary text in short lines", () => {
  const words = fc.constantFrom(
    "name: x\n",
    "model: ",
    "- ",
    "? ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!t ",
    "|\n",
    "'",
    '"',
    "\n",
    "  ",
    "#",
    "%YAML 1.1\n",
    "---\n",
    "<<: ",
  );
  const text = fc.array(fc.oneof(words, words, fc.string({ unit: "binary" })))
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, (text) => {
      try {
        parseExperiment(text, "f.yaml");
      } catch (error) {
        assertRefusal(error, true);
        return;
      }
      throw new Error("it was accepted");
    }),
    RUNS,
  );
});

Deno.test("parseJsonObject() takes what JSON.parse() takes, but for hidden keys", () => {
  fc.assert(
    fc.property(
      fc.json(),
      fc.nat(),
      fc.string({ maxLength: 2 }),
      (text, at, insert) => {
        const place = at % (text.length + 1);
        const mutated = text.slice(0, place) + insert + text.slice(place);
        let expected: unknown;
        try {
          expected = JSON.parse(mutated);
        } catch {
          expected = undefined;
        }
        const isObject = typeof expected === "object" && expected !== null &&
          !Array.isArray(expected);
        try {
          const value = parseJsonObject(mutated, "x.json");
          assertEquals(JSON.stringify(value), JSON.stringify(expected));
          assertEquals(isObject && !hasHiddenKeys(mutated), true);
        } catch (error) {
          assertRefusal(error);
          assertEquals(isObject && !hasHiddenKeys(mutated), false);
        }
      },
    ),
    RUNS,
  );
});

Deno.test("excerpt() and oneLine() of anything are short lines", () => {
  fc.assert(
    fc.property(fc.anything(), fc.string({ unit: "binary" }), (value, text) => {
      for (const line of [excerpt(value), excerpt(text), oneLine(text)]) {
        assertRefusal(new CheckpointError(line));
      }
    }),
    RUNS,
  );
});
