// The engine of an experiment: what is filled in, what contradicts, what a
// cell's id and a run's record have of it.

import {
  assert,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { stringify } from "yaml";
import { InputError } from "../src/base/errors.ts";
import { cellRecord } from "../src/experiment/cell_record.ts";
import { parseExperiment } from "../src/experiment/experiment_file.ts";
import type { Inputs } from "../src/experiment/inputs.ts";
import { planExperiment } from "../src/experiment/plan.ts";
import { parseCell } from "../src/experiment/record_schema.ts";
import { SYNTHETIC_CONFIGS } from "../src/model/synthetic.ts";

const file = (engine: string) =>
  `name: engines
model: synthetic:tiny
calibration: { text: synthetic }
engine: ${engine}
variants: [{ method: original }]
measure:
  contexts: [32]
  cache: {}
  throughput: { batch: 1 }
`;

const INPUTS: Inputs = {
  requestedModels: ["synthetic:tiny"],
  modelsNotHad: [],
  modelName: "synthetic:tiny",
  modelSha256: "aa",
  config: SYNTHETIC_CONFIGS["tiny"]!,
  files: [],
  textSha256: {},
  textCharacters: {},
};

function parse(engine: string, ...set: string[]) {
  return parseExperiment(file(engine), "f.yaml", { set });
}

function ids(engine: string, ...set: string[]): string[] {
  return planExperiment(parse(engine, ...set), INPUTS, "machine").cells
    .map(({ cell }) => cell);
}

Deno.test("parseExperiment() resolves the device by the engine, and its YAML parses to itself", () => {
  const cases: [string, string[], Record<string, unknown>][] = [
    ["{}", [], { name: "onnx", dtype: "f32", device: "cpu" }],
    ["{ software: false }", [], { name: "onnx", dtype: "f32", device: "cpu" }],
    ["{ name: onnx, device: webgpu }", [], {
      name: "onnx",
      dtype: "f32",
      device: "webgpu",
    }],
    ["{ name: onnx }", ["engine.name=webgpu"], {
      name: "webgpu",
      dtype: "f32",
      device: "webgpu",
      provider: "deno",
      cacheDtype: "f32",
    }],
    ["{ name: webgpu, dtype: f16, provider: dawn, software: true }", [], {
      name: "webgpu",
      dtype: "f16",
      device: "webgpu",
      provider: "dawn",
      cacheDtype: "f16",
      software: true,
    }],
    ["{ name: webgpu, cacheDtype: f16 }", [], {
      name: "webgpu",
      dtype: "f32",
      device: "webgpu",
      provider: "deno",
      cacheDtype: "f16",
    }],
    ["{ name: onnx, threads: 3 }", [], {
      name: "onnx",
      dtype: "f32",
      device: "cpu",
      threads: 3,
    }],
  ];
  for (const [engine, set, expected] of cases) {
    const experiment = parse(engine, ...set);
    assertEquals(experiment.engine as unknown, expected);
    assertEquals(
      parseExperiment(stringify(experiment), "resolved.yaml"),
      experiment,
    );
  }
});

Deno.test("parseExperiment() refuses engine fields that contradict the engine, each in one line", () => {
  const cases: [string, string[], string][] = [
    [
      "{ name: webgpu, device: cpu }",
      [],
      "f.yaml:4:33: engine.device: found cpu with engine webgpu; allowed: webgpu, or another engine",
    ],
    [
      "{ name: onnx, provider: dawn }",
      [],
      "f.yaml:4:33: engine.provider: found dawn with engine onnx; allowed: only with engine webgpu",
    ],
    [
      "{ name: reference }",
      ["engine.cacheDtype=f16"],
      "--set engine.cacheDtype=f16: engine.cacheDtype: found f16 with engine reference; allowed: only with engine webgpu",
    ],
    [
      "{ software: true }",
      [],
      "f.yaml:4:21: engine.software: found true with engine onnx; allowed: only with engine webgpu",
    ],
    [
      "{ name: webgpu, threads: 2 }",
      [],
      "f.yaml:4:34: engine.threads: found 2 with engine webgpu; allowed: only with other engines",
    ],
    [
      "{ name: onnx }",
      ["measure.cache.memoryGrowth=true"],
      "--set measure.cache.memoryGrowth=true: measure.cache.memoryGrowth: found true with engine onnx; allowed: only with engine webgpu",
    ],
    [
      "{ name: webgpu, provider: dwn }",
      [],
      'f.yaml:4:35: engine.provider: found "dwn" (did you mean "dawn"?); allowed: deno, dawn',
    ],
  ];
  for (const [engine, set, message] of cases) {
    const error = assertThrows(() => parse(engine, ...set), InputError);
    assertEquals(error.message, message);
  }
});

Deno.test("cell ids have provider and cacheDtype of the webgpu engine, and stay what they were for others", () => {
  // As they were before there was a webgpu engine: recorded runs go on.
  assertEquals(ids("{ name: onnx }"), ["b037108c6107fa9c", "385fa497d86fe395"]);
  assertEquals(ids("{ name: reference }"), [
    "33bf71b41781d0b2",
    "78e2ddd789639a3f",
  ]);
  const webgpu = ids("{ name: webgpu }");
  assertEquals(
    ids("{ name: webgpu, device: webgpu, provider: deno, cacheDtype: f32 }"),
    webgpu,
  );
  assertEquals(ids("{ name: webgpu, software: true }"), webgpu);
  for (const other of ["provider: dawn", "cacheDtype: f16", "dtype: f16"]) {
    const changed = ids(`{ name: webgpu, ${other} }`);
    for (const [i, id] of changed.entries()) assertNotEquals(id, webgpu[i]);
  }
  const elsewhere = planExperiment(
    parse("{ name: webgpu }"),
    INPUTS,
    "another machine",
  ).cells;
  assertEquals(elsewhere[0]!.cell, webgpu[0]);
  assertNotEquals(elsewhere[1]!.cell, webgpu[1]);
});

Deno.test("cellRecord() says provider, cache element type and kind of adapter", () => {
  const plan = planExperiment(parse("{ name: webgpu }"), INPUTS, "machine");
  const record = cellRecord(plan, plan.cells[0]!, {
    status: "failed",
    error: "none",
    started: new Date(0),
    engine: {
      name: "webgpu",
      provider: "dawn",
      dtype: "f32",
      cacheDtype: "f16",
      adapter: "some rasterizer",
      adapterKind: "software",
      version: "1",
    },
    startSeconds: 2,
    stageSeconds: { opening: 1 },
    calibrationRuns: 3,
  });
  assertEquals(record.engine, {
    name: "webgpu",
    provider: "dawn",
    dtype: "f32",
    cacheDtype: "f16",
    adapter: "some rasterizer",
    adapterKind: "software",
  });
  const again = parseCell(JSON.parse(JSON.stringify(record)), "cell");
  assertEquals(again, record);
  assertThrows(
    () =>
      parseCell({
        ...record,
        engine: { ...record.engine, adapterKind: "abacus" },
      }, "cell"),
    InputError,
    "engine.adapterKind",
  );
  assert(again.startSeconds === 2 && again.calibrationRuns === 3);
});
