// quickstart.yaml through the webgpu engine, on a model with the head layout of
// SmolLM2 (3 KV heads of 64) and two layers. A CPU rasterizer will do.

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import type { CellRecord } from "../src/experiment/record.ts";
import {
  type ExperimentRun,
  runGpuExperiment,
} from "./fixtures/experiment_child.ts";
import { writeModelFolder } from "./fixtures/model_folder.ts";
import { requirement } from "./fixtures/requirements.ts";
import { tinyModel } from "./fixtures/tiny_models.ts";

/** The experiment as it is, on a small model and with fewer tokens. */
const SMALL = [
  "calibration.samples=8",
  "measure.contexts=[48, 96]",
  "measure.perplexity.tokens=384",
  "measure.throughput={ batch: 1, repetitions: 1, warmups: 0, steps: 3 }",
];

/** Runs quickstart.yaml as its task does. */
async function quickstart(
  folder: string,
  name: string,
  ...args: string[]
): Promise<ExperimentRun> {
  return await runGpuExperiment(folder, name, "quickstart", [
    "--set",
    `model=${join(folder, "model")}`,
    ...SMALL.flatMap((set) => ["--set", set]),
    ...args,
  ]);
}

async function withModel(body: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "webgpu-experiment-" });
  try {
    const model = tinyModel({
      seed: 5,
      numAttentionHeads: 3,
      numKeyValueHeads: 3,
      headDim: 64,
      // No more than the distinct bytes of the calibration text: directions
      // that no sample shows would be kept or dropped by rounding.
      hiddenSize: 48,
    });
    await writeModelFolder(join(folder, "model"), model, 2048);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function perplexities(records: readonly CellRecord[]): Map<string, number> {
  return new Map(
    records.flatMap((record) =>
      record.measure === "perplexity" && record.metrics !== undefined
        ? [[
          `${record.variantLabel} ${record.contextTokens}`,
          record.metrics.meanNll,
        ]]
        : []
    ),
  );
}

Deno.test({
  name: "quickstart.yaml runs with --engine webgpu as with --engine onnx",
  ignore: requirement("deno-gpu").ignore,
  fn: () =>
    withModel(async (folder) => {
      const run = await quickstart(
        folder,
        "webgpu",
        "--engine",
        "webgpu",
        "--set",
        "engine.software=true",
        "--set",
        "measure.cache.memoryGrowth=true",
      );
      assertEquals(run.code, 0, `${run.stdout}\n${run.stderr}`);
      // The original has no conversion, and no divergence from itself.
      assertEquals(run.records.length, 8 * 6 + 7 * 2);
      for (const { status, engine } of run.records) {
        assertEquals(status, "ok");
        assertEquals(engine.name, "webgpu");
        assertEquals(engine.provider, "deno");
        assertEquals([engine.dtype, engine.cacheDtype], ["f32", "f32"]);
        assert(engine.adapter !== undefined && engine.adapter !== "");
        assert(engine.adapterKind !== undefined);
      }
      assertMemory(run.records);
      assertStages(run);
      const onnx = await quickstart(folder, "onnx", "--engine", "onnx");
      assertEquals(onnx.code, 0, onnx.stderr);
      const expected = perplexities(onnx.records);
      const measured = perplexities(run.records);
      assertEquals([...measured.keys()], [...expected.keys()]);
      for (const [cell, value] of measured) {
        assertAlmostEquals(value, expected.get(cell)!, 1e-3, cell);
      }
    }),
});

Deno.test({
  name:
    "a software adapter is named in the records, and not timed unless asked for",
  ignore: requirement("deno-gpu").ignore,
  fn: () =>
    withModel(async (folder) => {
      const args = [
        "--engine",
        "webgpu",
        "--only",
        "original",
        "--set",
        "measure={ contexts: [32, 64], throughput: { repetitions: 1, steps: 2 } }",
      ];
      const run = await quickstart(folder, "refused", ...args);
      const timed = run.records.filter(({ measure }) =>
        measure === "throughput"
      );
      assertEquals(timed.length, 2, run.stderr);
      for (const { status, error, engine } of timed) {
        if (engine.adapterKind === "gpu") {
          assertEquals(status, "ok");
          continue;
        }
        assertEquals(status, "skipped");
        assertStringIncludes(error!, `not timed: ${engine.adapter} is a`);
        assertStringIncludes(error!, "--set engine.software=true");
      }
      assertEquals(run.code, 0, run.stderr);
      assertStringIncludes(run.stderr, `adapter: ${timed[0]!.engine.adapter}`);
      if (timed.every(({ status }) => status === "skipped")) {
        assertStringIncludes(run.stdout, "2 skipped");
        // The reason is said once for all cells.
        assertEquals(run.stderr.split("engine.software=true").length, 2);
        const again = await quickstart(folder, "refused", ...args);
        assertStringIncludes(again.stderr, "all 2 cells are there");
      }
    }),
});

/** The longest context's cache cell has the growth of memory, or says why not. */
function assertMemory(records: readonly CellRecord[]): void {
  for (const { measure, contextTokens, metrics } of records) {
    if (measure !== "cache") continue;
    const { memoryGrowthBytes, expectedGrowthBytes, memoryNote } =
      metrics as unknown as Record<string, unknown>;
    assertEquals(
      memoryGrowthBytes !== undefined || memoryNote !== undefined,
      contextTokens === 96,
    );
    assertEquals(
      typeof memoryGrowthBytes,
      typeof expectedGrowthBytes,
    );
  }
  const ratios = records.flatMap((record) =>
    record.measure === "cache" &&
      record.metrics?.memoryGrowthRatio !== undefined
      ? [record.metrics.memoryGrowthRatio]
      : []
  );
  assert(ratios.length > 0);
  for (const ratio of ratios) assertAlmostEquals(ratio, 1, 0.1);
}

/** Stages add up, and each of the distinct models was calibrated once. */
function assertStages({ records, stdout }: ExperimentRun): void {
  assertStringIncludes(stdout, "Time of the cells: ");
  assertStringIncludes(stdout, "1 calibration run for the moments of 1 model");
  const runs = records.reduce(
    (sum, { calibrationRuns = 0 }) => sum + calibrationRuns,
    0,
  );
  assertEquals(runs, 1);
  for (const { stageSeconds = {}, wallSeconds, measure } of records) {
    const sum = Object.values(stageSeconds).reduce((a, b) => a + b, 0);
    assert(sum > 0 && sum <= wallSeconds + 1e-6, `${measure} ${sum}`);
  }
}
