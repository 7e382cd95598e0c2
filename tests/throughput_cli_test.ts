// Both protocols of throughput through the command line, on the tiny synthetic
// model: original and latent attention, caches of seeded numbers, several loads.
// A CPU rasterizer will do; its figures are held against each other only.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import type { ThroughputMetrics } from "../src/experiment/record.ts";
import { auditRecord } from "../src/experiment/record_audit.ts";
import {
  type ExperimentRun,
  runGpuExperiment,
} from "./fixtures/experiment_child.ts";
import { requirement } from "./fixtures/requirements.ts";

const FILE = `
name: tiny-speed
model: synthetic:tiny
engine: { name: webgpu, dtype: f32, software: true }
variants:
  - method: original
  - method: mla-shape
    qkRopeHeadDim: 16
    kvLoraRank: 24
measure:
  contexts: [32, 64]
  throughput:
    cache: seeded
    repetitions: 1
    steps: 4
    warmups: 0
`;

async function run(...set: readonly string[]): Promise<ExperimentRun> {
  const folder = await Deno.makeTempDir({ prefix: "throughput-" });
  try {
    const file = join(folder, "tiny-speed.yaml");
    await Deno.writeTextFile(file, FILE);
    return await runGpuExperiment(
      folder,
      "run",
      file,
      set.flatMap((assignment) => ["--set", assignment]),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Cells of throughput that were measured, each sound. */
function timed({ records }: ExperimentRun) {
  return records.flatMap((record) => {
    if (record.measure !== "throughput" || !record.metrics) return [];
    assertEquals(auditRecord(record), []);
    return [{ ...record, metrics: record.metrics }];
  });
}

function sum(parts: ThroughputMetrics["memory"]): number {
  const { weightBytes, cacheBytes, scratchBytes } = parts!;
  return weightBytes + cacheBytes + scratchBytes;
}

Deno.test({
  name:
    "decoding is timed with seeded caches, one sequence and as many as a budget holds",
  ignore: requirement("deno-gpu").ignore,
  fn: async () => {
    const throughput = "measure.throughput";
    const result = await run(
      `${throughput}.batch=[1, auto]`,
      `${throughput}.memoryBudget=[430KB, 4MB]`,
      `${throughput}.memoryUtilization=0.5`,
      `${throughput}.profile=true`,
    );
    assertEquals(result.code, 0, `${result.stdout}\n${result.stderr}`);
    // Of both variants: 3 loads at 2 contexts; a conversion of one.
    assertEquals(result.records.length, 2 * 6 + 1);
    const oom = result.records.filter(({ status }) => status === "oom");
    assertEquals(
      oom.map(({ load, contextTokens }) => [
        load?.memoryBudget,
        contextTokens,
      ]),
      [["430KB", 32], ["430KB", 64], ["430KB", 32], ["430KB", 64]],
    );
    assertStringIncludes(oom[0]!.error!, " > 215000 B, 0.5 of 430000 B");
    assertStringIncludes(oom[1]!.error!, "context 32 did not fit");
    const cells = timed(result);
    assertEquals(cells.length, 8);
    for (const { metrics, load } of cells) {
      const { memory, roofline, kernels, batchSize } = metrics;
      assertEquals(metrics.prefillTokensPerSecond, undefined);
      assertEquals(sum(memory), metrics.memoryBytes);
      assert(roofline!.stepBytes < metrics.memoryBytes);
      assert(roofline!.fraction > 0);
      if (kernels !== undefined) {
        assert(kernels.length > 5);
        assert(kernels.every(({ seconds }) => seconds >= 0));
      }
      if (load!.batch === 1) {
        assertEquals([batchSize, memory!.budgetBytes], [1, undefined]);
        continue;
      }
      assertEquals(memory!.budgetBytes, 2_000_000);
      // The largest: one sequence more would not fit.
      assert(metrics.memoryBytes <= 2_000_000 && batchSize > 1);
      assert(
        metrics.memoryBytes + memory!.cacheBytes / batchSize +
            memory!.scratchBytes > 2_000_000,
      );
    }
    // A shorter cache a token, more sequences.
    const many = cells.filter(({ load }) => load!.batch === "auto");
    assertEquals(many.map(({ contextTokens }) => contextTokens), [
      32,
      64,
      32,
      64,
    ]);
    const [a, b, c, d] = many.map(({ metrics }) => metrics.batchSize);
    assert(a! > b! && c! > d! && d! > b!);
  },
});

Deno.test({
  name: "whole requests are timed by samples that their record names",
  ignore: requirement("deno-gpu").ignore,
  fn: async () => {
    const throughput = "measure.throughput";
    const result = await run(
      `${throughput}.workload=requests`,
      `${throughput}.requests={ count: 3, countAt: { 32: 5 }, samples: 2 }`,
      `${throughput}.memoryBudget=4MB`,
    );
    assertEquals(result.code, 0, `${result.stdout}\n${result.stderr}`);
    assertStringIncludes(result.stdout, "output, tokens/s");
    const cells = timed(result);
    assertEquals(
      cells.map(({ contextTokens, metrics: { batchSize, requests } }) => [
        contextTokens,
        batchSize,
        requests?.count,
        requests?.inputTokens,
        requests?.outputTokens,
        requests?.sampledSteps.map(({ contextTokens }) => contextTokens),
      ]),
      [1, 2].flatMap(() => [
        [32, 5, 5, 16, 16, [18, 30]],
        [64, 3, 3, 32, 32, [34, 62]],
      ]),
    );
    for (const { load, metrics } of cells) {
      assertEquals(load, undefined);
      assert(metrics.prefillTokensPerSecond! > 0);
      const { seconds, prefillSeconds } = metrics.requests!;
      assert(prefillSeconds > 0 && seconds > prefillSeconds);
    }
  },
});

Deno.test({
  name:
    "no more requests are planned for, and limited, than are served at once",
  ignore: requirement("deno-gpu").ignore,
  fn: async () => {
    const throughput = "measure.throughput";
    // 64 caches of 32 tokens would not fit, 3 do.
    const result = await run(
      `${throughput}.workload=requests`,
      `${throughput}.requests={ count: 3, samples: 1 }`,
      `${throughput}.batch=64`,
      `${throughput}.memoryBudget=1MB`,
      "measure.contexts=[32]",
    );
    assertEquals(result.code, 0, `${result.stdout}\n${result.stderr}`);
    const cells = timed(result);
    assertEquals(cells.map(({ metrics }) => metrics.batchSize), [3, 3]);
    // 2 layers of 2·2·16 and of 24 + 16 numbers of 4 bytes.
    assertEquals(cells.map(({ metrics }) => metrics.memory!.cacheBytes), [
      3 * 32 * 512,
      3 * 32 * 320,
    ]);
    // A seeded cache has no prefill, but requests have one.
    assert(!/ ok /.test(result.stdout), result.stdout);
  },
});

Deno.test({
  name:
    "a longer context of fewer requests is tried where a shorter one did not fit",
  ignore: requirement("deno-gpu").ignore,
  fn: async () => {
    const throughput = "measure.throughput";
    const result = await run(
      `${throughput}.workload=requests`,
      `${throughput}.requests={ count: 100, countAt: { 64: 1 }, samples: 1 }`,
      `${throughput}.batch=64`,
      `${throughput}.memoryBudget=600KB`,
    );
    assertEquals(result.code, 0, `${result.stdout}\n${result.stderr}`);
    assertEquals(
      result.records.filter(({ measure }) => measure === "throughput")
        .map(({ contextTokens, status }) => [contextTokens, status]),
      [[32, "oom"], [64, "ok"], [32, "oom"], [64, "ok"]],
    );
  },
});
