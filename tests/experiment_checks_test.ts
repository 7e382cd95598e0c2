// What an experiment file may not say of itself, and what its expectations mean.

import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { evaluateChecks, withDeltas } from "../src/experiment/assemble.ts";
import { parseExperiment } from "../src/experiment/experiment_file.ts";
import type { Inputs } from "../src/experiment/inputs.ts";
import { type Plan, planExperiment } from "../src/experiment/plan.ts";
import type { CellRecord } from "../src/experiment/record.ts";
import { SYNTHETIC_CONFIGS } from "../src/model/synthetic.ts";

const FILE = `name: checks
model: m
calibration: { text: a, samples: 2, tokens: 64 }
variants:
  - method: original
  - { method: partial-rope, qkRopeHeadDim: 64, matrix: { freqFold: [1, 2] } }
measure:
  contexts: [32, 64]
  perplexity: { text: b, tokens: 256 }
  cache: {}
`;

const CONFIG = SYNTHETIC_CONFIGS["smollm2-135m"]!;

const INPUTS: Inputs = {
  requestedModels: ["m"],
  modelsNotHad: [],
  modelName: "m",
  modelSha256: "aa",
  config: CONFIG,
  tokenizerSha256: "bb",
  files: [],
  textSha256: { a: "cc", b: "dd" },
  textCharacters: { a: 1000, b: 1000 },
};

function plan(text: string): Plan {
  return planExperiment(parseExperiment(text, "f.yaml"), INPUTS, "cpu");
}

const expecting = (...lines: string[]) =>
  `${FILE}expect:\n${lines.map((line) => `  - { ${line} }\n`).join("")}`;

const WRONG: [what: string, text: string, message: string][] = [
  [
    "a seed beside seeds",
    FILE.replace("tokens: 64 }", "tokens: 64, seed: 1, seeds: [2, 3] }"),
    "f.yaml:3:58: calibration.seeds: found with calibration.seed; allowed: one of both",
  ],
  [
    "a seed given twice",
    FILE.replace("tokens: 64 }", "tokens: 64, seeds: [2, 3, 2] }"),
    "f.yaml:3:63: calibration.seeds[2]: found 2 again; allowed: each seed once",
  ],
  [
    "a label that another variant has with a seed",
    FILE.replace("tokens: 64 }", "tokens: 64, seeds: [7] }")
      .replace(
        "  - method: original\n",
        "  - method: original\n  - { method: partial-rope, qkRopeHeadDim: 32, freqFold: 1, label: x }\n  - { method: partial-rope, qkRopeHeadDim: 32, freqFold: 2, label: x s7 }\n",
      ),
    'calibration.seeds: a variant is called "x s7", as another one with a seed would be',
  ],
  [
    "divergence of an original alone",
    `name: checks
model: m
variants: [{ method: original }]
measure: { contexts: [32], divergence: { text: b } }
`,
    "measure.divergence: no variant is converted",
  ],
  [
    "divergence of a synthetic model",
    FILE.replace("model: m", "model: synthetic:tiny")
      .replace("perplexity: {", "divergence: {"),
    "measure.divergence: random tokens or weights have no meaningful divergence",
  ],
  [
    "shapes of a trained model",
    FILE.replace("model: m", "model: [synthetic:tiny, m]").replace(
      "  - method: original\n",
      "  - method: original\n  - { method: mla-shape, matrix: { kvLoraRank: [8, 16] } }\n",
    ),
    'variants[1].method: its weights are seeded, and those of "m" would be lost; allowed: with models synthetic:NAME',
  ],
  [
    "divergence expected of the original",
    `${
      FILE.replace("cache: {}", "divergence: { text: b }")
    }expect: [{ variant: original, metric: divergence.klNats, value: 0, absolute: 0 }]\n`,
    'expect[0].metric: found divergence.klNats; "original" is the original itself',
  ],
  [
    "a context that is not measured",
    expecting(
      "variant: original, metric: perplexity.value, contextTokens: 48, value: 1, absolute: 1",
    ),
    "f.yaml:12:67: expect[0].contextTokens: found 48, which measure.perplexity does not measure; allowed: 32, 64",
  ],
  [
    "a measure that is not made",
    expecting(
      "variant: original, metric: throughput.p50Ms, value: 1, absolute: 1",
    ),
    "expect[0].metric: found throughput.p50Ms; measure.throughput is missing",
  ],
  [
    "a conversion of the original",
    expecting(
      "variant: original, metric: conversion.wallSeconds, value: 1, absolute: 1",
    ),
    'expect[0].metric: found conversion.wallSeconds; "original" is not converted',
  ],
  [
    "a context of a conversion",
    expecting(
      "variant: partial*, metric: conversion.wallSeconds, contextTokens: 32, value: 1, absolute: 1",
    ),
    "expect[0].contextTokens: found 32; a conversion has none",
  ],
  [
    "a difference of the baseline to itself",
    expecting(
      "variant: original, metric: perplexity.deltaNll, value: 0, absolute: 1",
    ),
    'expect[0].metric: found perplexity.deltaNll; "original" is the baseline',
  ],
  [
    "two variants that are the same",
    FILE.replace(
      "measure:",
      "  - { method: partial-rope, qkRopeHeadDim: 64, freqFold: 2, label: again }\nmeasure:",
    ),
    'f.yaml:7:5: variants[2]: "again" is, its defaults filled in, the same variant as "partial-rope F2 m64" of variants[1]',
  ],
  [
    "a label that another variant is given",
    FILE.replace(
      "measure:",
      "  - { method: partial-rope, qkRopeHeadDim: 32, freqFold: 2, label: original }\nmeasure:",
    ),
    'variants[2].label: found "original", which is also the label of variants[0]',
  ],
  [
    "a label with a comma",
    FILE.replace("method: original", 'method: original\n    label: "a, b"'),
    'variants[0].label: found "a, b"; allowed: text like',
  ],
  [
    "a context twice",
    FILE.replace("[32, 64]", "[32, 64, 32]"),
    "f.yaml:8:22: measure.contexts[2]: found 32 again",
  ],
  [
    "a time limit that a timer cannot hold",
    `${FILE}timeoutSeconds: 2147484\n`,
    "f.yaml:11:17: timeoutSeconds: found 2147484; allowed: <= 2147483",
  ],
  [
    "a matrix that would fill the memory",
    FILE.replace(
      "[1, 2] }",
      `[${Array(3000).fill(1)}], qkRopeHeadDim: [${Array(3000).fill(64)}] }`,
    ),
    "a matrix of 9000001 variants; allowed: at most 2000",
  ],
];

for (const [what, text, message] of WRONG) {
  Deno.test(`parseExperiment() refuses ${what}`, () => {
    const error = assertThrows(() => plan(text), InputError);
    assertStringIncludes(error.message, message);
  });
}

Deno.test("planExperiment() refuses positions that the model does not have", () => {
  const diverging = (options: string) =>
    FILE.replace("cache: {}", `divergence: { text: b, ${options} }`);
  for (
    const [text, message] of [
      [
        diverging("tokens: 48"),
        "measure.divergence.tokens must hold one window of 64: current value is 48",
      ],
      [
        diverging("continuation: { promptTokens: 8000, tokens: 193 }"),
        "promptTokens + tokens must be <= 8192 (maxPositionEmbeddings of m): current value is 8000 + 193",
      ],
      [
        diverging("tokens: 100, continuation: { prompts: 2 }"),
        "prompts x promptTokens must be <= 100 (measure.divergence.tokens): current value is 2 x 64",
      ],
      [
        diverging("tokens: 1000000"),
        "must take <= 2147483648 bytes: current value is 2 x 1000000 x 576 x 4 = 4608000000",
      ],
      [
        FILE.replace("tokens: 64 }", "tokens: 8193 }"),
        "calibration.tokens must be <= 8192",
      ],
      [
        FILE.replace("cache: {}", "throughput: { contexts: [8190], steps: 3 }"),
        "current value is 8190 + 3",
      ],
    ] as const
  ) {
    const error = assertThrows(() => plan(text), InputError);
    assertStringIncludes(error.message, message);
  }
});

/** Records of all cells of a plan: perplexities of 2 windows, caches. */
function recordsOf({ cells }: Plan): CellRecord[] {
  return cells.map((cell, i) => ({
    ...cell,
    status: "ok",
    metrics: cell.measure === "perplexity"
      ? {
        value: 20,
        textSha256: "dd",
        windowTokens: cell.contextTokens,
        windows: 2,
        windowNll: [i, i + 1],
      }
      : cell.measure === "cache"
      ? { reduction: 0 }
      : { wallSeconds: 1 },
  } as unknown as CellRecord));
}

Deno.test("evaluateChecks() holds 0 against an absolute tolerance alone", () => {
  const planned = plan(expecting(
    "variant: original, metric: cache.reduction, contextTokens: 32, value: 0, absolute: 0",
  ));
  const [check, ...rest] = evaluateChecks(
    planned,
    recordsOf(planned),
    new Set(),
  );
  assertEquals(rest, []);
  assertEquals(check!.tolerance, 0);
  assertEquals(check!.ok, true);
});

Deno.test("evaluateChecks() says which selected cells lack an expected figure", () => {
  const planned = plan(expecting(
    "variant: '*', metric: perplexity.value, contextTokens: 64, value: 20, relative: 0.1",
    "variant: '*', metric: perplexity.deltaNll, contextTokens: 64, value: 0, absolute: 100",
  ));
  const all = new Set(planned.cells.map(({ cell }) => cell));
  const records = recordsOf(planned).filter((record) =>
    record.variantLabel !== "partial-rope F1 m64"
  ).map((record) =>
    record.variantLabel === "original" ? record : {
      ...record,
      status: "failed",
      error: "it broke",
      metrics: undefined,
    } as unknown as CellRecord
  );
  const checks = evaluateChecks(planned, records, all);
  assertEquals(
    checks.map(({ variantLabel, ok, reason }) => [variantLabel, ok, reason]),
    [
      ["original", true, undefined],
      ["partial-rope F1 m64", false, "not measured"],
      ["partial-rope F2 m64", false, "failed: it broke"],
      ["partial-rope F1 m64", false, "not measured"],
      ["partial-rope F2 m64", false, "failed: it broke"],
    ],
  );
  assert(Number.isNaN(checks[1]!.measured));
  // What was not selected is another run's to measure.
  assertEquals(evaluateChecks(planned, records, new Set()).length, 1);
});

Deno.test("withDeltas() makes no other variant the baseline where its record is missing", () => {
  const planned = plan(
    `${
      FILE.replace("  - method: original\n", "")
    }report: { baseline: partial-rope }\n`,
  );
  assertEquals(planned.baselineLabel, "partial-rope F1 m64");
  const deltas = (records: CellRecord[]) =>
    withDeltas(records, planned.baselineLabel).map((record) =>
      record.measure === "perplexity" ? record.metrics!.deltaNll : undefined
    ).filter((delta) => delta !== undefined);
  const records = recordsOf(planned);
  assertEquals(deltas(records).length, 2);
  assertEquals(
    deltas(
      records.filter(({ variantLabel }) =>
        variantLabel !== planned.baselineLabel
      ),
    ),
    [],
  );
});

Deno.test("withDeltas() compares with a calibrated baseline seed by seed", () => {
  const planned = plan(
    `${
      FILE.replace("tokens: 64 }", "tokens: 64, seeds: [1, 2] }")
    }report: { baseline: partial-rope }\n`,
  );
  assertEquals(planned.baselineLabel, "partial-rope F1 m64");
  const deltas = withDeltas(recordsOf(planned), planned.baselineLabel)
    .flatMap((record) => record.measure === "perplexity" ? [record] : []).map((
      record,
    ) => [record.variantLabel, record.metrics!.deltaNll]);
  // NLLs rise by 1 from cell to cell: five a variant, four of the original between.
  const [own, other] = ["partial-rope F1 m64", "partial-rope F2 m64"];
  assertEquals(deltas, [
    [`${own} s1`, undefined],
    [`${own} s1`, undefined],
    // The original has no seed to be compared by.
    ["original", undefined],
    ["original", undefined],
    [`${other} s1`, 9],
    [`${other} s1`, 9],
    [`${own} s2`, undefined],
    [`${own} s2`, undefined],
    [`${other} s2`, 5],
    [`${other} s2`, 5],
  ]);
});
