// Hostile experiment files: refused at their line, in bounded time and memory.
// experiment_file_test.ts and experiment_checks_test.ts have what is merely wrong.

import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { parseExperiment } from "../src/experiment/experiment_file.ts";
import { assertRefusal } from "./fixtures/fuzz_verdict.ts";

const FILE = `name: hostile
model: smollm2-135m
calibration: { text: brown/calibration }
variants:
  - method: original
  - { method: transmla, kvLoraRank: 8 }
measure:
  contexts: [512]
  cache: {}
`;

/** The slowest takes a second; a quadratic reader would take minutes. */
const MAX_SECONDS = 10;

/** Puts a line in place of the model's, line 2. */
const line = (text: string) => FILE.replace("model: smollm2-135m", text);

const CASES: readonly (readonly [what: string, text: string, says: string])[] =
  [
    [
      "a tag that would run code",
      line("model: !!js/function 'return 1'"),
      'f.yaml:2:22: found the tag "tag:yaml.org,2002:js/function"; allowed: values without tags',
    ],
    ["a tag of its own", line("model: !x y"), 'found the tag "!x"'],
    ["a tagged list", line("model: !!set {a}"), "found the tag"],
    ["binary", line("model: !!binary aGk="), "found the tag"],
    [
      "YAML 1.1, where no is false",
      `%YAML 1.1\n---\n${FILE}`,
      "f.yaml:1:1: found the directive %YAML 1.1; allowed: 1.2",
    ],
    [
      "a merge key",
      FILE.replace("engine", "").replace("cache: {}", "cache: { <<: {} }"),
      'f.yaml:9:12: unknown key "<<" in measure.cache',
    ],
    [
      "an alias in what it stands for",
      line("model: &a [x, *a]"),
      "f.yaml:2:15: *a is inside of what it stands for",
    ],
    [
      "an alias of nothing",
      line("model: *a"),
      "f.yaml:2:8: *a stands for nothing before it",
    ],
    [
      "aliases that multiply",
      line(
        `a: &a [${Array(9).fill("x")}]\n${
          Array.from({ length: 8 }, (_, i) => {
            const from = String.fromCharCode(97 + i);
            const to = String.fromCharCode(98 + i);
            return `${to}: &${to} [${Array(9).fill(`*${from}`)}]`;
          }).join("\n")
        }`,
      ),
      "Excessive alias count",
    ],
    [
      "a key twice, once as a number",
      `${FILE}1: a\n"1": b\n`,
      'f.yaml:11:1: Map keys must be unique: found "1" again',
    ],
    [
      "a list as a key",
      `${FILE}? [a]\n: b\n`,
      "f.yaml:10:3: a key must be text",
    ],
    ["nothing as a key", `${FILE}: b\n`, "a key must be text"],
    [
      "__proto__",
      `${FILE}__proto__: { name: x }\n`,
      'f.yaml:10:1: unknown key "__proto__" in the file',
    ],
    [
      "constructor",
      FILE.replace("kvLoraRank: 8", "kvLoraRank: 8, constructor: 8"),
      'f.yaml:6:40: unknown key "constructor" in variants[1]; allowed: method',
    ],
    [
      "a NUL",
      line("model: a\0b"),
      'f.yaml:2:9: found the control character "\\u0000"; allowed: text',
    ],
    [
      "an escape that makes a control character",
      line('model: "a\\e[31mb"'),
      'f.yaml:2:8: found the control character "\\u001b"; allowed: text',
    ],
    [
      "half a character",
      line('model: "\\ud800"'),
      "f.yaml:2:8: found the control character",
    ],
    [
      "a key that would write to the terminal",
      `${FILE}"a\\nb": 1\n`,
      'f.yaml:10:1: unknown key "a\\nb" in the file',
    ],
    [
      "brackets 100,000 deep",
      line(`model: ${"[".repeat(1e5)}${"]".repeat(1e5)}`),
      "f.yaml:2:32: found more than 24 levels of nesting; allowed: at most 24",
    ],
    [
      "dashes 100,000 deep",
      `${FILE}${"- ".repeat(1e5)}x`,
      "f.yaml:10:1: found more than 80 columns of indentation",
    ],
    [
      "explicit keys 100,000 deep",
      "? ".repeat(1e5),
      "f.yaml:1:1: found more than 80 columns of indentation",
    ],
    [
      "dashes 25 deep",
      `x:\n  ${"- ".repeat(25)}x`,
      "f.yaml:2:51: found more than 24 levels of nesting",
    ],
    [
      "a list of a million",
      line(`model: [${"a,".repeat(3e5)}]`),
      "more than 100000 scalars, signs and line ends",
    ],
    [
      "a million line ends",
      FILE + "\n".repeat(1e6),
      "more than 100000 scalars, signs and line ends",
    ],
    [
      "30,000 keys",
      Array.from({ length: 3e4 }, (_, i) => `k${i}: 1`).join("\n"),
      "more than 100000",
    ],
    [
      "two million characters",
      FILE + "#".repeat(2e6),
      "f.yaml:1:1: the file has 2000",
    ],
    ["two documents", `${FILE}---\n${FILE}`, "f.yaml:10:1: Source contains"],
    ["nothing", "", "the file: found null; allowed: object"],
    ["a list", "- a\n", 'the file: found ["a"]; allowed: object'],
    ["text", "just text", 'the file: found "just text"; allowed: object'],
    [
      "bytes of a program",
      "\x7fELF\x02\x01\x01\0\0\0",
      'f.yaml:1:1: found the control character "\\u007f"',
    ],
    [
      "no number",
      FILE.replace("[512]", "[.nan]"),
      "f.yaml:8:14: measure.contexts[0]: found NaN; allowed: ",
    ],
    [
      "infinity",
      FILE.replace("[512]", "[-.inf]"),
      "measure.contexts[0]: found -Infinity; allowed: ",
    ],
    [
      "a number beyond all contexts",
      FILE.replace("[512]", "[1e308]"),
      "measure.contexts[0]: found 1e+308; allowed: ",
    ],
    [
      "a fraction",
      FILE.replace("[512]", "[51.5]"),
      "measure.contexts[0]: found 51.5; allowed: a whole number",
    ],
    [
      "a value of a megabyte",
      FILE.replace("[512]", `[${"x".repeat(1e6)}]`),
      `measure.contexts[0]: found "${"x".repeat(76)}...`,
    ],
    [
      "10,000 errors",
      `${FILE}${Array.from({ length: 1e4 }, (_, i) => `k${i}: 1\n`).join("")}`,
      "and 9981 more unknown keys in the file",
    ],
  ];

for (const [what, text, says] of CASES) {
  Deno.test(`an experiment file with ${what} is refused at its line`, () => {
    const start = performance.now();
    const error = assertThrows(
      () => parseExperiment(text, "f.yaml"),
      InputError,
    ) as Error;
    const seconds = (performance.now() - start) / 1000;
    assertStringIncludes(assertRefusal(error, true), says);
    assert(seconds < MAX_SECONDS, `it took ${seconds} s`);
  });
}

Deno.test("a long list of maps in one line is not taken for depth", () => {
  const check = '{ "variant": "original", "metric": "cache.bytesPerToken", ' +
    '"value": 1, "relative": 0.1 }';
  const checks = Array(40).fill(check).join(", ");
  const { expect } = parseExperiment(`${FILE}expect: [${checks}]\n`, "f.yaml");
  assertEquals(expect.length, 40);
});

Deno.test("--set takes no tag, alias, control character or path through a value", () => {
  for (
    const [set, says] of [
      ["model=!!js/function x", "found the tag"],
      ["model=*a", "stands for nothing"],
      ["model=[&a 1, *a]", "--set model=[&a 1, *a]: model[0]"],
      ['model="\\0"', "control character"],
      ["model\n=a", "--set model =a"],
      [`model=${"[".repeat(1e5)}`, "levels of nesting"],
      ["name.x.y=1", "--set name.x.y=1:"],
      ["__proto__.x=1", 'unknown key "__proto__"'],
      ["variants.9999999999=1", "found the index 9999999999; allowed: 0 to 2"],
    ] as const
  ) {
    const error = assertThrows(
      () => parseExperiment(FILE, "f.yaml", { set: [set] }),
      InputError,
    ) as Error;
    assertStringIncludes(assertRefusal(error, true), says);
  }
});
