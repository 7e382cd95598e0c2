// Where a run's time goes, of a run that was stopped and resumed.

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import { runPlan } from "../src/experiment/run.ts";
import { makeTinyRun, tinyPlan, tinyYaml } from "./fixtures/tiny_run.ts";

Deno.test("stages.json of a resumed run adds up, and calibrates each partial-RoPE model once", async () => {
  const folder = await Deno.makeTempDir({ prefix: "tiny-stages-" });
  try {
    const tiny = await makeTinyRun(folder);
    const plan = await tinyPlan(tinyYaml(tiny, {
      calibration:
        `{ text: "${tiny.calibration}", samples: 4, tokens: 32, seed: 42, passes: 2 }`,
      variants: `
  - method: original
  - method: transmla
    qkRopeHeadDim: 16
    matrix: { freqFold: [1, 2], kvLoraRank: [16, 24], balanceKv: [true, false] }`,
      measure: "{ contexts: [32], cache: {} }",
    }));
    const options = {
      out: tiny.out,
      momentsFolder: tiny.moments,
      measureRate: false,
    };
    await runPlan(plan, { ...options, limit: 6 });
    const result = await runPlan(plan, options);
    assertEquals([result.exitCode, result.counts.ok], [0, 17]);

    const { totalSeconds, stages, calibrationRuns, calibrationModels } = JSON
      .parse(await Deno.readTextFile(join(tiny.out, "stages.json")));
    // The original, and F 1 and F 2: not the eight conversions.
    assertEquals([calibrationRuns, calibrationModels], [3, 3]);
    const seconds = new Map<string, number>(
      stages.map((
        { stage, seconds }: { stage: string; seconds: number },
      ) => [stage, seconds]),
    );
    assertAlmostEquals(
      [...seconds.values()].reduce((sum, value) => sum + value, 0),
      totalSeconds,
      1e-6,
    );
    for (const stage of ["calibration", "conversion", "opening", "cache"]) {
      assert(seconds.get(stage)! > 0, stage);
    }
    assertEquals([seconds.get("perplexity"), seconds.get("throughput")], [
      0,
      0,
    ]);
    // Two engine processes, each before the first cell that it measured.
    assertEquals(
      result.records.flatMap(({ startSeconds = 0 }, i) =>
        startSeconds > 0 ? [i] : []
      ),
      [0, 6],
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
