// Runs of real engine processes on a tiny model with the reference engine.

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { InputError } from "../src/base/errors.ts";
import { loadRuns } from "../src/report/load.ts";
import { studentT } from "../src/evaluation/student_t.ts";
import type { CellRecord } from "../src/experiment/record.ts";
import { runPlan } from "../src/experiment/run.ts";
import type { RunEvent, RunOptions } from "../src/experiment/run_options.ts";
import { withDeltas } from "../src/experiment/assemble.ts";
import { parseExperiment } from "../src/experiment/experiment_file.ts";
import { identifyInputs } from "../src/experiment/inputs.ts";
import { type Plan, planExperiment } from "../src/experiment/plan.ts";
import {
  makeTinyRun,
  tinyPlan,
  type TinyRun,
  tinyYaml,
} from "./fixtures/tiny_run.ts";

/** Makes a tiny run folder for one test and removes it. */
async function withTinyRun(
  body: (tiny: TinyRun) => Promise<void>,
  testWords?: number,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "tiny-run-" });
  try {
    await body(await makeTinyRun(folder, testWords));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function run(
  plan: Plan,
  tiny: TinyRun,
  options: RunOptions = {},
) {
  const events: RunEvent[] = [];
  const result = await runPlan(plan, {
    out: tiny.out,
    momentsFolder: tiny.moments,
    measureRate: false,
    ...options,
    onEvent(event) {
      events.push(event);
      options.onEvent?.(event);
    },
  });
  return { ...result, events };
}

function measured(events: readonly RunEvent[]): string[] {
  return events.flatMap((event) =>
    event.type === "cellEnd" ? [event.record.cell] : []
  );
}

Deno.test("runPlan() measures every cell, and its files agree with its cells", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(tinyYaml(tiny, {
      expect: `
  - { variant: "transmla*", metric: cache.elementsPerTokenPerLayer, value: 40, absolute: 0 }
  - { variant: original, metric: cache.elementsPerTokenPerLayer, value: 65, absolute: 0.5, source: a wrong figure }`,
    }));
    assertEquals(plan.cells.length, 4 + 2 * 5);
    const result = await run(plan, tiny, { argv: ["experiment", "tiny.yaml"] });
    assertEquals(result.counts.ok, 14);
    assertEquals(result.missing, 0);
    // The second expectation does not hold, and so the run fails.
    assertEquals(result.checks.map(({ ok }) => ok), [
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
    assertEquals(result.exitCode, 1);

    const lines = (await Deno.readTextFile(join(tiny.out, "results.jsonl")))
      .trimEnd().split("\n").map((line) => JSON.parse(line) as CellRecord);
    assertEquals(
      lines.map(({ cell }) => cell),
      plan.cells.map(({ cell }) => cell),
    );
    const original = lines.find((record) =>
      record.measure === "perplexity" && record.contextTokens === 32
    )!;
    assert(original.measure === "perplexity" && original.metrics);
    assertEquals(original.variantLabel, "original");
    assertEquals(original.metrics.windows, 8);
    assertEquals(original.metrics.tokens, 256);
    assertEquals(original.metrics.deltaNll, undefined);
    assertAlmostEquals(
      original.metrics.value,
      Math.exp(original.metrics.meanNll),
    );
    const converted = lines.find((record) =>
      record.measure === "perplexity" && record.variant.freqFold === 2 &&
      record.contextTokens === 32
    )!;
    assert(converted.measure === "perplexity" && converted.metrics);
    const delta = converted.metrics.deltaNll!;
    assertAlmostEquals(
      delta,
      converted.metrics.meanNll - original.metrics.meanNll,
      1e-9,
    );
    const [low, high] = converted.metrics.deltaNllCi95!;
    assertAlmostEquals((low + high) / 2, delta, 1e-9);
    assert(high - low > 0 && (high - low) / studentT(7) < 1);
    const cache = lines.find((record) =>
      record.measure === "cache" && record.variant.freqFold === 2
    )!;
    assert(cache.measure === "cache" && cache.metrics);
    assertEquals(cache.metrics.elementsByLayer, [40, 40]);
    assertEquals(cache.metrics.reduction, 1 - 40 / 64);
    // The reference engine computes in f64.
    assertEquals(cache.metrics.measuredBytes, 32 * 2 * 40 * 8);
    assert(cache.peakMemoryBytes > 1e7);

    const environment = JSON.parse(
      await Deno.readTextFile(join(tiny.out, "environment.json")),
    );
    assertEquals(environment.runId, plan.runId);
    assertEquals(environment.argv, ["experiment", "tiny.yaml"]);
    assertEquals(environment.model.sha256, plan.inputs.modelSha256);
    assertEquals(environment.texts.length, 2);
    const csv = await Deno.readTextFile(join(tiny.out, "results.csv"));
    assertEquals(csv.trimEnd().split("\r\n").length, 15);
    assertStringIncludes(csv, "perplexity.value");
  });
});

Deno.test("withDeltas() does not depend on the order of the cells", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(tinyYaml(tiny));
    const { records } = await run(plan, tiny);
    const raw = await Promise.all(
      plan.cells.map(async ({ cell }) =>
        JSON.parse(
          await Deno.readTextFile(join(tiny.out, "cells", `${cell}.json`)),
        ) as CellRecord
      ),
    );
    assertEquals(withDeltas(raw.toReversed(), "original").toReversed(), [
      ...records,
    ]);
  });
});

Deno.test("runPlan() measures again exactly the cell that was deleted or damaged", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(tinyYaml(tiny));
    const first = await run(plan, tiny);
    assertEquals(first.exitCode, 0);
    const [, deleted, , damaged] = plan.cells;
    await Deno.remove(join(tiny.out, "cells", `${deleted!.cell}.json`));
    await Deno.truncate(join(tiny.out, "cells", `${damaged!.cell}.json`), 100);
    const second = await run(plan, tiny);
    assertEquals(measured(second.events), [deleted!.cell, damaged!.cell]);
    assertEquals(
      second.records.map((record) =>
        record.measure === "perplexity" ? record.metrics : undefined
      ),
      first.records.map((record) =>
        record.measure === "perplexity" ? record.metrics : undefined
      ),
    );
    const third = await run(plan, tiny);
    assertEquals(measured(third.events), []);
    assertEquals(third.exitCode, 0);
    const forced = await run(plan, tiny, { force: true, only: "original" });
    assertEquals(measured(forced.events).length, 4);
  });
});

Deno.test("runPlan() refuses a folder that holds another experiment", async () => {
  await withTinyRun(async (tiny) => {
    const yaml = tinyYaml(tiny, {
      variants: "[{ method: original }]",
      measure: "{ contexts: [32], cache: {} }",
    });
    await run(await tinyPlan(yaml), tiny);
    const other = await tinyPlan(yaml.replace("[32]", "[48]"));
    await assertRejects(
      () => run(other, tiny),
      InputError,
      "holds the run of another experiment",
    );
    const forced = await run(other, tiny, { force: true });
    assertEquals(forced.exitCode, 0);
    // The first run's files stay; its figures do not count any more.
    const cells = [...Deno.readDirSync(join(tiny.out, "cells"))];
    assertEquals(cells.length, 2);
    assertEquals((await loadRuns([tiny.out])).cells.map(({ cell }) => cell), [
      other.cells[0]!.cell,
    ]);
  });
});

Deno.test("runPlan() resumes a run that is told, checked or waited for in another way", async () => {
  await withTinyRun(async (tiny) => {
    const plan = (changes: Record<string, string> = {}) =>
      tinyPlan(tinyYaml(tiny, {
        variants: "[{ method: original }]",
        measure: "{ contexts: [32], cache: {} }",
        ...changes,
      }));
    await run(await plan(), tiny);
    const told = await plan({
      description: "told again",
      report: "{ figures: [pareto] }",
      timeoutSeconds: "60",
      expect:
        "[{ variant: original, metric: cache.reduction, value: 0, absolute: 0 }]",
    });
    const again = await run(told, tiny);
    assertEquals(measured(again.events), []);
    assertEquals(again.checks.map(({ ok }) => ok), [true]);
    assertStringIncludes(
      await Deno.readTextFile(join(tiny.out, "experiment.yaml")),
      "told again",
    );
  });
});

Deno.test("runPlan() records a failed cell and goes on; --fail-fast stops", async () => {
  await withTinyRun(async (tiny) => {
    // 40 words are 200 tokens: no window of 256.
    const plan = await tinyPlan(tinyYaml(tiny, {
      variants: "[{ method: original }]",
      measure: `
  perplexity: { text: "${tiny.test}", contexts: [256, 64] }
  cache: { contexts: [32] }`,
    }));
    const result = await run(plan, tiny);
    assertEquals(result.records.map(({ status }) => status), [
      "failed",
      "ok",
      "ok",
    ]);
    assertStringIncludes(result.records[0]!.error!, "256");
    assertEquals(result.exitCode, 1);
    const again = await run(plan, tiny, { failFast: true });
    assertEquals(measured(again.events), [plan.cells[0]!.cell]);
  }, 40);
});

Deno.test("runPlan() records a killed engine process as oom, skips longer contexts and goes on", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(tinyYaml(tiny, {
      variants: "[{ method: original }]",
      measure: `
  perplexity: { text: "${tiny.test}", contexts: [32, 64] }
  cache: { contexts: [32] }`,
    }));
    let pid = 0;
    const result = await run(plan, tiny, {
      onEvent(event) {
        if (event.type === "worker") pid = event.pid;
        if (
          event.type === "progress" && event.stage === "perplexity" && pid > 0
        ) {
          Deno.kill(pid, "SIGKILL");
          pid = 0;
        }
      },
    });
    assertEquals(result.records.map(({ status }) => status), [
      "oom",
      "skipped",
      "ok",
    ]);
    assertStringIncludes(result.records[0]!.error!, "SIGKILL");
    assertEquals(result.exitCode, 1);
    assertEquals(
      result.events.filter(({ type }) => type === "worker").length,
      2,
    );
    // What failed is measured when the run goes on.
    const resumed = await run(plan, tiny);
    assertEquals(resumed.counts.ok, 3);
    assertEquals(resumed.exitCode, 0);
  }, 2000);
});

Deno.test("runPlan() ends a cell that takes too long and goes on", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(tinyYaml(tiny, {
      variants: "[{ method: original }]",
      measure: `
  perplexity: { text: "${tiny.test}", contexts: [64] }
  cache: { contexts: [32] }`,
    }));
    const result = await run(plan, tiny, { timeoutSeconds: 3 });
    assertEquals(result.records.map(({ status }) => status), [
      "timeout",
      "ok",
    ]);
    assertStringIncludes(result.records[0]!.error!, "timeoutSeconds: 3");
  }, 200_000);
});

Deno.test("runPlan() takes an oom that memoryBudget foresees as a result", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(tinyYaml(tiny, {
      variants: "[{ method: original }]",
      measure: `
  contexts: [32]
  throughput: { batch: 2, memoryBudget: 10KiB, repetitions: 1, steps: 2 }`,
    }));
    const result = await run(plan, tiny);
    assertEquals(result.counts.oom, 1);
    assertStringIncludes(
      result.records[0]!.error!,
      "cache 2 x 34 tokens x 1024 B",
    );
    assertEquals(result.exitCode, 0);
  });
});

Deno.test("a list of models means the first that can be had, said aloud and recorded", async () => {
  await withTinyRun(async (tiny) => {
    const nowhere = join(tiny.folder, "nowhere");
    const experiment = parseExperiment(
      tinyYaml(tiny, {
        model: `["${nowhere}", "${tiny.model}"]`,
        variants: "[{ method: original }]",
        measure: "{ contexts: [32], cache: {} }",
      }),
      "tiny.yaml",
    );
    const said: string[] = [];
    const inputs = await identifyInputs(experiment, (line) => said.push(line));
    assertStringIncludes(said[0]!, nowhere);
    assertEquals(said[1], `model: ${tiny.model}`);
    const plan = planExperiment(experiment, inputs, "cpu");
    await run(plan, tiny);
    const { model } = JSON.parse(
      await Deno.readTextFile(join(tiny.out, "environment.json")),
    );
    assertEquals(model.name, tiny.model);
    assertEquals(model.requested, [nowhere, tiny.model]);
  });
});

Deno.test("identifyInputs() refuses calibration and test texts that overlap", async () => {
  await withTinyRun(async (tiny) => {
    const experiment = parseExperiment(
      tinyYaml(tiny).replace(tiny.calibration, tiny.test),
      "tiny.yaml",
    );
    await assertRejects(
      () => identifyInputs(experiment),
      InputError,
      "same text",
    );
  });
});

Deno.test("runPlan() shards a plan over one folder", async () => {
  await withTinyRun(async (tiny) => {
    const plan = await tinyPlan(tinyYaml(tiny));
    const first = await run(plan, tiny, { shard: "1/2" });
    assertEquals(measured(first.events).length, 7);
    assertEquals(first.missing, 7);
    const second = await run(plan, tiny, { shard: "2/2", limit: 3 });
    assertEquals(measured(second.events).length, 3);
    assertEquals(second.missing, 4);
  });
});
