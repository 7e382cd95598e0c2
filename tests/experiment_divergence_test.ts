// Divergence and calibration seeds in a run of the tiny model.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { estimateCells } from "../src/experiment/estimate.ts";
import { parseExperiment } from "../src/experiment/experiment_file.ts";
import type { CellRecord } from "../src/experiment/record.ts";
import { runPlan } from "../src/experiment/run.ts";
import { selectCells } from "../src/experiment/run_options.ts";
import {
  makeTinyRun,
  tinyPlan,
  type TinyRun,
  tinyYaml,
} from "./fixtures/tiny_run.ts";

async function withTinyRun(
  body: (tiny: TinyRun) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "tiny-divergence-" });
  try {
    await body(await makeTinyRun(folder));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const VARIANTS = `
  - method: original
  - method: transmla
    qkRopeHeadDim: 16
    freqFold: 1
    matrix: { kvLoraRank: [16, 24] }`;

function seeded(tiny: TinyRun, seeds: string): string {
  return `{ text: "${tiny.calibration}", samples: 4, tokens: 32, ${seeds}, passes: 1 }`;
}

function measuring(tiny: TinyRun): string {
  return `
  contexts: [32, 64]
  perplexity: { text: "${tiny.test}", tokens: 256, contexts: [64] }
  divergence: { text: "${tiny.test}", tokens: 256, continuation: { prompts: 3, promptTokens: 8, tokens: 5 } }`;
}

Deno.test("a run measures divergence of each conversion, and continues prompts at the longest context", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(
      tinyYaml(tiny, {
        variants: VARIANTS,
        measure: measuring(tiny),
        expect: `
  - { variant: "transmla*", metric: divergence.top1Agreement, value: 0.5, absolute: 0.5 }
  - { variant: "transmla*", metric: divergence.klNats, contextTokens: 64, value: 1, absolute: 1 }`,
      }),
    );
    const compared = plan.cells.filter((cell) => cell.measure === "divergence");
    assertEquals(
      compared.map(({ variant, contextTokens }) => [
        variant.kvLoraRank,
        contextTokens,
      ]),
      [[16, 32], [16, 64], [24, 32], [24, 64]],
    );
    const result = await runPlan(plan, {
      out: tiny.out,
      momentsFolder: tiny.moments,
      measureRate: false,
    });
    assertEquals([result.exitCode, result.missing], [0, 0]);
    assertEquals(result.checks.length, 6);
    const metrics = result.records.flatMap((record) =>
      record.measure === "divergence" && record.metrics ? [record.metrics] : []
    );
    assertEquals(metrics.length, 4);
    for (const one of metrics) {
      assertEquals(one.windows * one.windowTokens, 256);
      assertEquals(one.tokens, 256);
      assertEquals(one.windowKl.length, one.windows);
      assertEquals(one.windowAgreement.length, one.windows);
      assert(one.klNats > 0 && one.klStderr > 0);
      assert(one.top1Agreement > 0 && one.top1Agreement <= 1);
      assertEquals(one.continuations === undefined, one.windowTokens === 32);
      for (const pair of one.continuations ?? []) {
        assert(pair.prompt.length > 0);
        assertEquals(pair.tokens, 5);
        assertEquals(pair.commonTokens === 5, pair.original === pair.variant);
      }
    }
    const [first, second] = [metrics[1]!, metrics[3]!].map((one) =>
      one.continuations!
    );
    assertEquals(first!.length, 3);
    assertEquals(
      first!.map(({ prompt, original }) => [prompt, original]),
      second!.map(({ prompt, original }) => [prompt, original]),
    );
    // The text's first eight tokens are its first eight bytes.
    const text = await Deno.readTextFile(tiny.test.slice("file:".length));
    assertEquals(first![0]!.prompt, text.slice(0, 8));
  });
});

Deno.test("calibration.seeds makes every conversion once a seed, with moments and differences of its own", async () => {
  await withTinyRun(async (tiny) => {
    const yaml = (calibration: string, more: Record<string, string> = {}) =>
      tinyYaml(tiny, {
        variants: VARIANTS,
        measure: measuring(tiny),
        calibration: seeded(tiny, calibration),
        ...more,
      });
    const expect = `
  - { variant: "transmla F1 m16 r24 bkv", metric: perplexity.deltaNll, value: 0, absolute: 9 }
  - { variant: "*r16 bkv s43", metric: perplexity.value, value: 300, absolute: 900 }`;
    const plan = await tinyPlan(yaml("seeds: [42, 43, 44]", { expect }));
    const conversions = plan.cells.filter((cell) =>
      cell.measure === "conversion"
    );
    assertEquals(
      conversions.map(({ variantLabel, variantGroup, calibrationSeed }) => [
        variantLabel,
        variantGroup,
        calibrationSeed,
      ]),
      [42, 43, 44].flatMap((seed) =>
        [16, 24].map((rank) => {
          const group = `transmla F1 m16 r${rank} bkv`;
          return [`${group} s${seed}`, group, seed];
        })
      ),
    );
    const originals = plan.cells.filter(({ variantGroup }) =>
      variantGroup === undefined
    );
    assertEquals(originals.map((cell) => cell.measure), ["perplexity"]);
    // A cell of one of several seeds is the cell of that seed alone.
    for (const seed of [42, 43]) {
      const alone = await tinyPlan(yaml(`seed: ${seed}`));
      assertEquals(
        alone.cells.map(({ cell }) => cell),
        plan.cells.filter(({ calibrationSeed = seed }) =>
          calibrationSeed === seed
        ).map(({ cell }) => cell),
      );
      assert(alone.cells.every((cell) => cell.calibrationSeed === undefined));
    }
    assertEquals(
      selectCells(plan.cells, { only: "transmla F1 m16 r24 bkv" }).length,
      3 * 4,
    );
    assertEquals(selectCells(plan.cells, { only: "*s44" }).length, 2 * 4);

    const result = await runPlan(plan, {
      out: tiny.out,
      momentsFolder: tiny.moments,
      measureRate: false,
    });
    assertEquals([result.exitCode, result.missing], [0, 0]);
    assertEquals(result.checks.map(({ variantLabel }) => variantLabel), [
      ...[42, 43, 44].map((seed) => `transmla F1 m16 r24 bkv s${seed}`),
      "transmla F1 m16 r16 bkv s43",
    ]);
    // The original's moments, one set a seed, for two ranks.
    const files = [...Deno.readDirSync(tiny.moments)];
    assertEquals(files.length, 3);
    assertEquals(
      result.records.map(({ calibrationRuns = 0 }) => calibrationRuns)
        .reduce((sum, runs) => sum + runs),
      3,
    );
    const deltas = result.records.flatMap((record) =>
      record.measure === "perplexity" && record.metrics?.deltaNll !== undefined
        ? [record.metrics.deltaNll]
        : []
    );
    assertEquals(new Set(deltas).size, 6);
    const cell: CellRecord = JSON.parse(
      await Deno.readTextFile(
        join(tiny.out, "cells", `${conversions[1]!.cell}.json`),
      ),
    );
    assertEquals([cell.calibrationSeed, cell.variantGroup], [
      42,
      "transmla F1 m16 r24 bkv",
    ]);
    assertEquals(
      cell.peakMemoryScope,
      Deno.build.os === "linux" ? "cell" : "process",
    );
    const csv = await Deno.readTextFile(join(tiny.out, "results.csv"));
    assertStringIncludes(csv.split("\r\n")[0]!, "variantGroup,calibrationSeed");
    const written = await Deno.readTextFile(join(tiny.out, "experiment.yaml"));
    assertEquals(parseExperiment(written, "run").calibration?.seeds, [
      42,
      43,
      44,
    ]);
  });
});

Deno.test("estimateCells() charges the original's part of divergence once, and moments once a seed", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(tinyYaml(tiny, {
      variants: VARIANTS,
      measure: measuring(tiny),
      calibration: seeded(tiny, "seeds: [1, 2]"),
    }));
    const { cells, experiment, inputs } = plan;
    const estimates = estimateCells(cells, experiment, inputs, "cpu");
    const seconds = (measure: string, contextTokens?: number) =>
      cells.flatMap((cell, i) =>
        cell.measure === measure && cell.contextTokens === contextTokens
          ? [estimates[i]!.seconds]
          : []
      );
    const [first, ...others] = seconds("divergence", 32);
    assertEquals(others.length, 3);
    assertEquals(new Set(others).size, 1);
    assert(first! > 2 * others[0]!);
    const longest = seconds("divergence", 64);
    // Continuations beside the windows, which are as many tokens.
    assert(longest[1]! > others[0]!);
    const [one, again, two] = seconds("conversion");
    assert(one! > again!);
    assertEquals(two, one);
  });
});
