// Experiment files: what is refused and where, how a matrix expands, what a
// cell's id depends on; every file in experiments/ is one.

import {
  assert,
  assertEquals,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { stringify } from "yaml";
import { InputError } from "../src/base/errors.ts";
import { METHODS } from "../src/conversion/methods/mod.ts";
import {
  labelsOf,
  parseExperiment,
} from "../src/experiment/experiment_file.ts";
import type { Inputs } from "../src/experiment/inputs.ts";
import { type Plan, planExperiment } from "../src/experiment/plan.ts";
import { experimentJsonSchema } from "../src/experiment/schema.ts";
import { SYNTHETIC_CONFIGS } from "../src/model/synthetic.ts";

const FILE = `name: sweep
model: smollm2-135m
calibration: { text: wikitext-2/validation }
engine: { name: reference }
variants:
  - method: original
  - method: transmla
    qkRopeHeadDim: 64
    matrix:
      freqFold: [1, 2]
      kvLoraRank: [56, 128]
measure:
  contexts: [512]
  perplexity: { text: wikitext-2/test, tokens: 4096 }
  cache: {}
report:
  baseline: original
`;

const INPUTS: Inputs = {
  requestedModels: ["smollm2-135m"],
  modelsNotHad: [],
  modelName: "smollm2-135m",
  modelSha256: "aa",
  config: SYNTHETIC_CONFIGS["smollm2-135m"]!,
  tokenizerSha256: "bb",
  files: [],
  textSha256: { "wikitext-2/test": "cc", "wikitext-2/validation": "dd" },
  textCharacters: { "wikitext-2/test": 1000, "wikitext-2/validation": 1000 },
};

function plan(text: string, inputs = INPUTS, machine = "cpu x2"): Plan {
  return planExperiment(parseExperiment(text, "f.yaml"), inputs, machine);
}

const ERRORS: [string, string, string, string][] = [
  [
    "an unknown key",
    "model: smollm2-135m",
    "modle: smollm2-135m",
    'f.yaml:2:1: unknown key "modle" in the file (did you mean "model"?); allowed: name,',
  ],
  [
    "a missing key",
    "model: smollm2-135m\n",
    "",
    "f.yaml:1:1: model is missing",
  ],
  [
    "an unknown method",
    "method: transmla",
    "method: transmlb",
    'f.yaml:7:13: variants[1].method: found "transmlb" (did you mean "transmla"?); allowed: original',
  ],
  [
    "an option of another method",
    "- method: original",
    "- { method: original, kvLoraRank: 3 }",
    'f.yaml:6:25: unknown key "kvLoraRank" in variants[0]',
  ],
  [
    "a mistyped option in a matrix",
    "kvLoraRank: [56, 128]",
    "kv_lora_rank: [56, 128]",
    'f.yaml:11:7: unknown key "kv_lora_rank" in variants[1].matrix (did you mean "kvLoraRank"?)',
  ],
  [
    "a value of the wrong type",
    "contexts: [512]",
    "contexts: [512, big]",
    'f.yaml:13:19: measure.contexts[1]: found "big"; allowed: ',
  ],
  [
    "a value out of range",
    "tokens: 4096",
    "tokens: 1",
    "f.yaml:14:48: measure.perplexity.tokens: found 1; allowed: >= 2",
  ],
  [
    "an unknown engine",
    "name: reference",
    "name: onx",
    'f.yaml:4:17: engine.name: found "onx" (did you mean "onnx"?); allowed: reference, onnx',
  ],
  [
    "a required option that is missing",
    "      kvLoraRank: [56, 128]\n",
    "",
    "f.yaml:7:5: variants[1].kvLoraRank: is missing",
  ],
  [
    "a duplicate key",
    "  cache: {}",
    "  cache: {}\n  cache: {}",
    "f.yaml:16:3: Map keys must be unique",
  ],
  [
    "a measure without contexts",
    "  contexts: [512]\n",
    "",
    "f.yaml:13:3: measure.perplexity has no contexts",
  ],
  [
    "a baseline that is no variant",
    "baseline: original",
    "baseline: orignal",
    'f.yaml:17:13: report.baseline: found "orignal" (did you mean "original"?)',
  ],
  [
    "calibration missing",
    "calibration: { text: wikitext-2/validation }\n",
    "",
    "f.yaml:4:1: calibration is missing",
  ],
  [
    "an expectation without a variant",
    "report:",
    "expect:\n  - { variant: palu*, metric: perplexity.value, value: 1 }\nreport:",
    'f.yaml:17:16: expect[0].variant: found "palu*", which no variant matches',
  ],
  [
    "an unknown metric",
    "report:",
    "expect:\n  - { variant: original, metric: perplexity.valu, value: 1, absolute: 1 }\nreport:",
    'f.yaml:17:34: expect[0].metric: found "perplexity.valu" (did you mean "perplexity.value"?)',
  ],
];

for (const [what, from, to, message] of ERRORS) {
  Deno.test(`parseExperiment() says where: ${what}`, () => {
    assert(FILE.includes(from));
    const error = assertThrows(
      () => parseExperiment(FILE.replace(from, to), "f.yaml"),
      InputError,
    );
    assertStringIncludes(error.message, message);
  });
}

Deno.test("parseExperiment() reports all errors of a file at once", () => {
  const text = FILE.replace("contexts: [512]", "contexts: [1]")
    .replace("baseline: original", "base: original");
  const error = assertThrows(() => parseExperiment(text, "f.yaml"), InputError);
  assertEquals(error.message.split("\n").length, 2);
});

Deno.test("parseExperiment() refuses an alias bomb", () => {
  const lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 9; i++) {
    const previous = String.fromCharCode(96 + i);
    const name = String.fromCharCode(97 + i);
    lines.push(
      `${name}: &${name} [${Array(10).fill(`*${previous}`).join(", ")}]`,
    );
  }
  assertThrows(
    () => parseExperiment(lines.join("\n"), "f.yaml"),
    InputError,
    "f.yaml:1:1: Excessive alias count",
  );
});

Deno.test("parseExperiment() applies --set before it checks", () => {
  const experiment = parseExperiment(FILE, "f.yaml", {
    set: [
      "measure.perplexity.tokens=all",
      "variants.1.matrix.freqFold=[4]",
      "measure.throughput.repetitions=2",
    ],
  });
  assertEquals(experiment.measure.perplexity?.tokens, "all");
  assertEquals(experiment.measure.throughput?.repetitions, 2);
  assertEquals(experiment.variants.map(({ freqFold }) => freqFold), [
    undefined,
    4,
    4,
  ]);
  for (
    const [set, message] of [
      [
        "measure.perplexty.tokens=3",
        "--set measure.perplexty.tokens=3: unknown key",
      ],
      [
        "measure.contexts=[0]",
        "--set measure.contexts=[0]: measure.contexts[0]",
      ],
      ["nothing", "--set nothing: must be key=value"],
    ] as const
  ) {
    const error = assertThrows(
      () => parseExperiment(FILE, "f.yaml", { set: [set] }),
      InputError,
    );
    assertStringIncludes(error.message, message);
  }
});

Deno.test("a matrix is a product, with include and without exclude", () => {
  const experiment = parseExperiment(
    FILE.replace(
      "measure:",
      `    exclude: [{ freqFold: 1, kvLoraRank: 56 }]
    include: [{ freqFold: 8, kvLoraRank: 300, balanceKv: false }]
measure:`,
    ),
    "f.yaml",
  );
  assertEquals(labelsOf(experiment), [
    "original",
    "transmla F1 m64 r128 bkv",
    "transmla F2 m64 r56 bkv",
    "transmla F2 m64 r128 bkv",
    "transmla F8 m64 r300",
  ]);
});

Deno.test("labels are unique and name what differs", () => {
  const experiment = parseExperiment(
    FILE.replace(
      "kvLoraRank: [56, 128]",
      "kvLoraRank: [56]\n      pca: [activations, weights]",
    ),
    "f.yaml",
  );
  const labels = labelsOf(experiment);
  assertEquals(labels.slice(1, 3), [
    "transmla F1 m64 r56 bkv",
    "transmla F1 m64 r56 bkv pca=weights",
  ]);
  assertEquals(new Set(labels).size, labels.length);
});

Deno.test("a resolved experiment parses to itself, and so has one run id", () => {
  const first = plan(FILE);
  const second = plan(stringify(first.experiment));
  assertEquals(second.experiment, first.experiment);
  assertEquals(second.runId, first.runId);
  assertEquals(second.cells, first.cells);
});

Deno.test("planExperiment() puts the baseline first", () => {
  const cells = plan(
    FILE.replace("  - method: original\n", "")
      .replace("measure:", "  - method: original\nmeasure:"),
  ).cells;
  assertEquals(cells[0]!.variantLabel, "original");
  assertEquals(
    cells.map(({ measure }) => measure).slice(0, 3),
    ["perplexity", "cache", "conversion"],
  );
});

Deno.test("cell ids change with all that decides a figure, and with nothing else", () => {
  const ids = (text: string, inputs = INPUTS, machine?: string) =>
    plan(text, inputs, machine).cells.map(({ cell }) => cell);
  const base = ids(FILE);
  assertEquals(new Set(base).size, base.length);
  assert(base.every((id) => /^[0-9a-f]{16}$/.test(id)));
  // The same figures: another name, baseline or order of keys; more variants; another machine.
  assertEquals(ids(FILE.replace("name: sweep", "name: other")), base);
  assertEquals(
    ids(FILE.replace("kvLoraRank: [56, 128]", "kvLoraRank: [56, 128, 64]"))
      .filter((id) => base.includes(id)),
    base,
  );
  assertEquals(ids(FILE, INPUTS, "cpu x64"), base);
  // Other figures.
  const all = (changed: string[]) => {
    assertEquals(changed.length, base.length);
    assert(changed.every((id) => !base.includes(id)));
  };
  all(ids(FILE, { ...INPUTS, modelSha256: "zz" }));
  all(ids(FILE.replace("name: reference", "name: onnx")));
  all(
    ids(FILE.replace("contexts: [512]", "contexts: [256]")).map((id, i) =>
      // A conversion has no context.
      plan(FILE).cells[i]!.measure === "conversion" ? `${id} -` : id
    ),
  );
  const some = (
    changed: string[],
    which: (cell: Plan["cells"][number]) => boolean,
  ) =>
    plan(FILE).cells.forEach((cell, i) => {
      if (which(cell)) assertNotEquals(changed[i], base[i]);
      else assertEquals(changed[i], base[i]);
    });
  some(
    ids(
      FILE.replace(
        "wikitext-2/validation }",
        "wikitext-2/validation, seed: 1 }",
      ),
    ),
    ({ variant }) => variant.method !== "original",
  );
  some(
    ids(FILE, {
      ...INPUTS,
      textSha256: { ...INPUTS.textSha256, "wikitext-2/test": "zz" },
    }),
    ({ measure }) => measure === "perplexity",
  );
  const timed = FILE.replace("  cache: {}", "  throughput: {}");
  assertNotEquals(ids(timed, INPUTS, "cpu x64")[1], ids(timed)[1]);
});

Deno.test("planExperiment() refuses what the model cannot do", () => {
  for (
    const [from, to, message] of [
      ["contexts: [512]", "contexts: [16384]", "contexts must be <= 8192"],
      [
        "freqFold: [1, 2]",
        "freqFold: [3]",
        'variant "transmla F3 m64 r56 bkv": ',
      ],
      ["kvLoraRank: [56, 128]", "kvLoraRank: [321]", "kvLoraRank 321"],
      ["tokens: 4096", "tokens: 256", "must hold one window of 512"],
    ] as const
  ) {
    const error = assertThrows(
      () => plan(FILE.replace(from, to)),
      InputError,
    );
    assertStringIncludes(error.message, message);
  }
});

const FOLDER = new URL("../experiments/", import.meta.url);

for (const entry of Deno.readDirSync(FOLDER)) {
  if (!entry.name.endsWith(".yaml")) continue;
  Deno.test(`experiments/${entry.name} is an experiment of its file's name`, () => {
    const text = Deno.readTextFileSync(new URL(entry.name, FOLDER));
    const experiment = parseExperiment(text, entry.name);
    assertEquals(`${experiment.name}.yaml`, entry.name);
    assertStringIncludes(text, "$schema=./schema.json");
    const labels = labelsOf(experiment);
    assertEquals(new Set(labels).size, labels.length);
    const shape = String(experiment.model).startsWith("synthetic:")
      ? String(experiment.model).slice("synthetic:".length)
      : "smollm2-135m";
    const config = SYNTHETIC_CONFIGS[shape]!;
    planExperiment(experiment, {
      ...INPUTS,
      config,
      textSha256: new Proxy({}, { get: (_, name) => String(name) }),
    }, "cpu");
  });
}

Deno.test("experiments/schema.json is the schema of experiment files", () => {
  const stored = JSON.parse(
    Deno.readTextFileSync(new URL("schema.json", FOLDER)),
  );
  assertEquals(
    stored,
    JSON.parse(JSON.stringify(experimentJsonSchema(METHODS))),
    "deno task schema writes experiments/schema.json again",
  );
});
