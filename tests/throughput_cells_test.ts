// Cells of throughput: their loads and ids, what is refused of them, what their
// records must hold.

import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { toCsv } from "../src/experiment/assemble.ts";
import { estimateCells } from "../src/experiment/estimate.ts";
import { parseExperiment } from "../src/experiment/experiment_file.ts";
import type { Inputs } from "../src/experiment/inputs.ts";
import { type Plan, planExperiment } from "../src/experiment/plan.ts";
import type { CellRecord } from "../src/experiment/record.ts";
import { auditRecord } from "../src/experiment/record_audit.ts";
import { parseCell } from "../src/experiment/record_schema.ts";
import { loadsOf, requestsAt } from "../src/experiment/throughput_measure.ts";
import { MODEL_PRESETS } from "../src/model/presets.ts";

const FILE = `
name: ids
model: some/model
engine: { name: webgpu, dtype: f16, provider: dawn }
variants: [{ method: original }]
measure:
  contexts: [512, 1024]
  throughput: { batch: auto, memoryBudget: 24GiB, repetitions: 2, steps: 16 }
`;

const INPUTS: Inputs = {
  requestedModels: ["some/model"],
  modelsNotHad: [],
  modelName: "m",
  modelSha256: "ab",
  config: MODEL_PRESETS["llama-2-7b"]!,
  tokenizerSha256: "cd",
  files: [],
  textSha256: {},
  textCharacters: {},
};

function plan(...set: readonly string[]): Plan {
  return planExperiment(
    parseExperiment(FILE, "f.yaml", { set }),
    INPUTS,
    "machine",
  );
}

function ids(...set: readonly string[]): string[] {
  return plan(...set).cells.map(({ cell }) => cell);
}

function refuses(message: string, ...set: readonly string[]): void {
  const error = assertThrows(() => plan(...set), InputError);
  assertStringIncludes(error.message, message);
}

Deno.test("cells of one load keep the ids that they had before there were several", () => {
  assertEquals(ids(), ["91271decbe073219", "de491026f5b4a837"]);
  assertEquals(ids("measure.throughput={}"), [
    "71bd388c477d86ed",
    "91bf4690e6fa65bc",
  ]);
  assertEquals(ids("measure.throughput.batch=4"), [
    "3c556e6b754c0862",
    "3f89f1b816a4845a",
  ]);
});

Deno.test("defaults that are written, and lists of one, change no id", () => {
  const same = [
    "measure.throughput.cache=prefill",
    "measure.throughput.workload=decode",
    "measure.throughput.profile=false",
    "measure.throughput.batch=[auto]",
    "measure.throughput.memoryBudget=[24GiB]",
  ];
  assertEquals(plan(...same), plan());
});

Deno.test("cells are the product of batches and budgets, each context of a load after the other", () => {
  const { cells } = plan(
    "measure.throughput.batch=[2, 4]",
    "measure.throughput.memoryBudget=[24GiB, 40GiB]",
  );
  assertEquals(
    cells.map(({ contextTokens, load }) => [contextTokens, load]),
    [2, 4].flatMap((batch) =>
      ["24GiB", "40GiB"].flatMap((memoryBudget) =>
        [512, 1024].map((context) => [context, { batch, memoryBudget }])
      )
    ),
  );
  assertEquals(new Set(cells.map(({ cell }) => cell)).size, 8);
});

Deno.test("a number beside auto is measured once, whatever the budgets", () => {
  const measure = {
    batch: [1, "auto"],
    memoryBudget: ["24GiB", "40GiB"],
  } as const;
  assertEquals(loadsOf(measure), [
    { batch: 1 },
    { batch: "auto", memoryBudget: "24GiB" },
    { batch: "auto", memoryBudget: "40GiB" },
  ]);
});

Deno.test("a cell of several loads is that of an experiment which has its load alone", () => {
  const several = ids("measure.throughput.batch=[1, auto]");
  assertEquals(several, [
    ...ids("measure.throughput={ batch: 1, repetitions: 2, steps: 16 }"),
    ...ids(),
  ]);
});

Deno.test("requests of another context do not change a cell's id", () => {
  const set = ["measure.throughput.workload=requests"];
  const [short, long] = ids(...set);
  assert(!ids().includes(short!));
  const more = "measure.throughput.requests={ countAt: { 512: 1000 } }";
  const [other, same] = ids(...set, more);
  assert(other !== short);
  assertEquals(same, long);
  const { requests } = plan(...set, more).experiment.measure.throughput!;
  assertEquals(requestsAt({ requests: requests! }, 512), {
    count: 1000,
    samples: 5,
  });
  assertEquals(requestsAt({ requests: requests! }, 1024), {
    count: 100,
    samples: 5,
  });
});

Deno.test("throughput is refused what its engine or its workload does not have", () => {
  const path = "measure.throughput";
  refuses(
    `${path}.batch[1]: found 2 again; allowed: each once`,
    `${path}.batch=[2, 2]`,
  );
  refuses(
    `${path}.memoryBudget[1]: found 1024MiB again`,
    `${path}.memoryBudget=[1GiB, 1024MiB]`,
  );
  refuses(
    `${path}.requests: found with workload decode; allowed: only with workload: requests`,
    `${path}.requests={ count: 2 }`,
  );
  refuses(
    `${path}.cache: found seeded with engine onnx; allowed: only with engine webgpu`,
    "engine={ name: onnx }",
    `${path}.cache=seeded`,
  );
  refuses(`${path}.memoryUtilization`, `${path}.memoryUtilization=1.1`);
  refuses(`${path}.memoryBudget`, `${path}.memoryBudget=[24]`);
});

Deno.test("only a seeded cache may be longer than the model's positions", () => {
  const long = "measure.contexts=[8192]";
  refuses("context + steps must be <= 4096", long);
  refuses(
    "contexts must be <= 4096",
    long,
    "measure.throughput.workload=requests",
  );
  assertEquals(ids(long, "measure.throughput.cache=seeded").length, 1);
});

Deno.test("estimateCells() knows the batch of a load, and cells that their budget does not hold", () => {
  const { cells, experiment } = plan(
    "measure.contexts=[1024, 32768]",
    "measure.throughput.cache=seeded",
    "measure.throughput.batch=[1, auto]",
  );
  const estimates = estimateCells(cells, experiment, INPUTS, "gpu");
  assertEquals(estimates.map(({ exceeds }) => exceeds ?? false), [
    false,
    false,
    false,
    true,
  ]);
  const [one, , many] = estimates;
  const budget = 24 * 2 ** 30;
  assert(many!.memoryBytes > 0.95 * budget && many!.memoryBytes <= budget);
  assert(one!.memoryBytes < 0.65 * budget);
});

const METRICS = {
  batchSize: 4,
  decodeTokensPerSecond: 400,
  decodeSamples: 2,
  repetitions: 2,
  p50Ms: 10,
  p95Ms: 11,
  memoryBytes: 60,
  memory: {
    weightBytes: 10,
    cacheBytes: 20,
    scratchBytes: 30,
    budgetBytes: 70,
  },
  roofline: {
    stepBytes: 100,
    copyBytesPerSecond: 20_000,
    tokensPerSecond: 800,
    fraction: 0.5,
  },
  kernels: [
    { name: "gemv", dispatches: 2, seconds: 0.001, bytes: 5, flops: 10 },
  ],
  requests: {
    count: 10,
    inputTokens: 32,
    outputTokens: 32,
    outputTokensPerSecond: 160,
    seconds: 2,
    prefillSeconds: 1,
    prefillSampledTokens: 64,
    sampledSteps: [{ contextTokens: 40, ms: 10 }],
  },
};

function record(metrics: unknown, more: object = {}): CellRecord {
  const [cell] = plan("measure.throughput.batch=[1, auto]").cells;
  return parseCell({
    schemaVersion: 1,
    experiment: "e",
    runId: "r",
    ...cell,
    status: "ok",
    model: {
      id: "m",
      sha256: "b",
      modelType: "llama",
      numHiddenLayers: 1,
      hiddenSize: 8,
      numAttentionHeads: 2,
      numKeyValueHeads: 1,
      headDim: 4,
    },
    engine: { name: "webgpu", dtype: "f16" },
    metrics,
    peakMemoryBytes: 1,
    wallSeconds: 1,
    startedAt: "2026-01-01T00:00:00Z",
    ...more,
  }, "cell.json");
}

Deno.test("parseCell() takes all that a throughput cell may state, and refuses what is malformed", () => {
  const good = record(METRICS);
  assertEquals(good.load, { batch: 1 });
  assertEquals(auditRecord(good), []);
  const { memory, roofline, kernels, requests } = METRICS;
  const wrong: readonly (readonly [string, object])[] = [
    ["prefillTokensPerSecond", { prefillTokensPerSecond: 0 }],
    ["memory.cacheBytes", { memory: { ...memory, cacheBytes: "20" } }],
    ["roofline.fraction", { roofline: { ...roofline, fraction: -1 } }],
    ["kernels.0.name", { kernels: [{ ...kernels[0], name: "a\u001b[2J" }] }],
    ["requests.sampledSteps", { requests: { ...requests, sampledSteps: [] } }],
    ["requests.seconds", { requests: { ...requests, seconds: null } }],
  ];
  for (const [field, change] of wrong) {
    const error = assertThrows(
      () => record({ ...METRICS, ...change }),
      InputError,
    );
    assertStringIncludes(error.message, `metrics.${field} is not valid`);
  }
  assertThrows(
    () => record(METRICS, { load: { batch: 0 } }),
    InputError,
    "load.batch is not valid",
  );
});

Deno.test("auditRecord() adds up what a throughput cell states", () => {
  const { roofline, requests } = METRICS;
  assertEquals(
    auditRecord(record({
      ...METRICS,
      memoryBytes: 61,
      roofline: { ...roofline, fraction: 0.6 },
      requests: { ...requests, seconds: 1 },
    })).map((line) => line.split(" is ")[0]),
    [
      "throughput.memoryBytes",
      "throughput.roofline.fraction",
      "throughput.requests.outputTokensPerSecond",
    ],
  );
});

Deno.test("toCsv() has columns for loads, memory, roofline and requests", () => {
  const { experiment } = plan();
  const [head, line] = toCsv([record(METRICS)], experiment).split("\r\n").map(
    (text) => text.split(","),
  );
  const field = (name: string) => line![head!.indexOf(name)];
  assertEquals(field("load.batch"), "1");
  assertEquals(field("throughput.memory.scratchBytes"), "30");
  assertEquals(field("throughput.roofline.fraction"), "0.5");
  assertEquals(field("throughput.requests.outputTokensPerSecond"), "160");
});

Deno.test("a count for a context that is not measured is refused, whatever its key is", () => {
  const requests = (countAt: string) => [
    "measure.throughput.workload=requests",
    `measure.throughput.requests={ countAt: ${countAt} }`,
  ];
  for (const key of ["513", "0512", "abc", "5.12e2"]) {
    refuses(
      `measure.throughput.requests.countAt: found "${key}"; allowed: contexts of the measure: 512, 1024`,
      ...requests(`{ "${key}": 5 }`),
    );
  }
  assertEquals(plan(...requests(`{ 512: 5 }`)).cells.length, 2);
  const own = "measure.throughput.contexts=[2048]";
  refuses("contexts of the measure: 2048", own, ...requests(`{ 512: 5 }`));
});

Deno.test("a budget of nothing, or of more than can be counted, is refused", () => {
  const digits = "9".repeat(400);
  for (const size of ["0GiB", "0.1B", "8192TiB", `${digits}TiB`]) {
    refuses(
      "measure.throughput.memoryBudget: found ",
      `measure.throughput.memoryBudget=${size}`,
    );
  }
  refuses(
    'measure.throughput.memoryBudget[1]: found "0MiB"; allowed: 1 B to 8191 TiB',
    "measure.throughput.memoryBudget=[24GiB, 0MiB]",
  );
});

Deno.test("a batch that no memory holds is refused before it is laid out", () => {
  refuses(
    "measure.throughput.batch: found 1000000000",
    "measure.throughput.batch=1000000000",
  );
});

Deno.test("a part of a memory that nothing is bound by is refused", () => {
  const part = "measure.throughput.memoryUtilization=0.5";
  const free = "measure.throughput={ batch: [1, 4], memoryUtilization: 0.5 }";
  refuses(
    "memoryUtilization: found without memoryBudget and with batch 1, 4; allowed: with memoryBudget, or with batch: auto",
    free,
  );
  assertEquals(plan(part).cells.length, 2);
  const auto =
    "measure.throughput={ batch: [1, auto], memoryUtilization: 0.5 }";
  assertEquals(plan(auto).cells.length, 4);
});
