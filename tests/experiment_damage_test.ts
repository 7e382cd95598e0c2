// What a run does where files, folders or its engine process are not as they
// should be.

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { stringify } from "yaml";
import { InputError } from "../src/base/errors.ts";
import { Exhaustion } from "../src/experiment/exhaustion.ts";
import type { PlannedCell } from "../src/experiment/plan.ts";
import { runPlan } from "../src/experiment/run.ts";
import { writeAtomically } from "../src/experiment/run_folder.ts";
import type { RunEvent, RunOptions } from "../src/experiment/run_options.ts";
import { loadRuns } from "../src/report/mod.ts";
import {
  makeTinyRun,
  tinyPlan,
  type TinyRun,
  tinyYaml,
} from "./fixtures/tiny_run.ts";

async function withTinyRun(
  body: (tiny: TinyRun, yaml: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "tiny-damage-" });
  try {
    const tiny = await makeTinyRun(folder);
    await body(
      tiny,
      tinyYaml(tiny, {
        variants: "[{ method: original }]",
        measure: "{ contexts: [32, 64], cache: {} }",
      }),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function optionsIn(tiny: TinyRun, options: RunOptions = {}): RunOptions {
  return {
    out: tiny.out,
    momentsFolder: tiny.moments,
    measureRate: false,
    ...options,
  };
}

Deno.test("runPlan() names a damaged cell file and measures the cell again", async () => {
  await withTinyRun(async (tiny, yaml) => {
    const plan = await tinyPlan(yaml);
    await runPlan(plan, optionsIn(tiny));
    const path = join(tiny.out, "cells", `${plan.cells[0]!.cell}.json`);
    const record = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(
      path,
      JSON.stringify({ ...record, metrics: { bytesPerToken: "many" } }),
    );
    const said: string[] = [];
    const result = await runPlan(
      plan,
      optionsIn(tiny, {
        onEvent: (event) => {
          if (event.type === "log") said.push(event.message);
        },
      }),
    );
    assertEquals(result.counts.ok, 2);
    assertStringIncludes(said.join("\n"), path);
    assertEquals(JSON.parse(await Deno.readTextFile(path)).metrics, {
      ...record.metrics,
    });
  });
});

Deno.test("runPlan() with force keeps what is there until it has something better", async () => {
  await withTinyRun(async (tiny, yaml) => {
    const plan = await tinyPlan(yaml);
    await runPlan(plan, optionsIn(tiny));
    const cells = join(tiny.out, "cells");
    const files = () => [...Deno.readDirSync(cells)].map(({ name }) => name);
    const before = files();
    await Deno.writeTextFile(join(cells, "note.txt"), "mine");
    // An engine that cannot be had: the model is gone.
    const config = join(tiny.model, "config.json");
    await Deno.rename(config, `${config}.away`);
    await assertRejects(
      () => runPlan(plan, optionsIn(tiny, { force: true })),
      InputError,
      "config.json",
    );
    assertEquals(files().sort(), [...before, "note.txt"].sort());
    await Deno.rename(`${config}.away`, config);
    const measured: RunEvent[] = [];
    await runPlan(
      plan,
      optionsIn(tiny, {
        force: true,
        limit: 1,
        onEvent: (event) => {
          if (event.type === "cellEnd") measured.push(event);
        },
      }),
    );
    assertEquals(measured.length, 1);
    assertEquals(files().sort(), [...before, "note.txt"].sort());
  });
});

Deno.test("runPlan() writes its results where the engine cannot be opened again", async () => {
  await withTinyRun(async (tiny, yaml) => {
    const plan = await tinyPlan(yaml.replace("[32, 64]", "[32, 64, 96]"));
    let pid = 0;
    const config = join(tiny.model, "config.json");
    const result = await runPlan(
      plan,
      optionsIn(tiny, {
        onEvent(event) {
          if (event.type === "worker") pid = event.pid;
          if (event.type === "cellEnd" && event.index === 0) {
            Deno.removeSync(config);
            Deno.kill(pid, "SIGABRT");
          }
        },
      }),
    );
    assertEquals(result.records.map(({ status }) => status), [
      "ok",
      "failed",
      "failed",
    ]);
    assertStringIncludes(result.records[1]!.error!, "SIGABRT");
    assertStringIncludes(result.records[2]!.error!, "config.json");
    const lines = await Deno.readTextFile(join(tiny.out, "results.jsonl"));
    assertEquals(lines.trimEnd().split("\n").length, 3);
    assertEquals(result.exitCode, 1);
  });
});

Deno.test("runPlan() writes no results over an experiment that replaced its own meanwhile", async () => {
  await withTinyRun(async (tiny, yaml) => {
    const plan = await tinyPlan(yaml);
    const other = await tinyPlan(yaml.replace("[32, 64]", "[48]"));
    await assertRejects(
      () =>
        runPlan(
          plan,
          optionsIn(tiny, {
            onEvent: ({ type }) => {
              if (type !== "cellEnd") return;
              // As another process with --force does.
              const text = stringify(other.experiment, { lineWidth: 100 });
              const path = join(tiny.out, "experiment.yaml");
              Deno.writeTextFileSync(path, text);
            },
          }),
        ),
      InputError,
      "holds the run of another experiment",
    );
    assertEquals(
      [...Deno.readDirSync(tiny.out)].some(({ name }) =>
        name === "results.jsonl"
      ),
      false,
    );
  });
});

Deno.test("runPlan() gives cells of the experiment before it the names of its own plan", async () => {
  await withTinyRun(async (tiny) => {
    const planOf = (name: string, seeds: string) =>
      tinyPlan(tinyYaml(tiny, {
        name,
        calibration:
          `{ text: "${tiny.calibration}", samples: 4, tokens: 32, ${seeds}, passes: 1 }`,
        variants: `
  - method: original
  - { method: transmla, qkRopeHeadDim: 16, freqFold: 1, kvLoraRank: 24 }`,
        measure: "{ contexts: [32], cache: {} }",
      }));
    const one = await planOf("one", "seed: 42");
    await runPlan(one, optionsIn(tiny));
    const two = await planOf("two", "seeds: [42, 43]");
    const known = new Set(one.cells.map(({ cell }) => cell));
    assert(
      two.cells.some(({ cell, calibrationSeed }) =>
        known.has(cell) && calibrationSeed === 42
      ),
    );
    // Replaced, stopped after a cell, then resumed.
    await runPlan(two, optionsIn(tiny, { force: true, limit: 1 }));
    const { records } = await runPlan(two, optionsIn(tiny));
    const files = (await loadRuns([tiny.out])).cells;
    for (const cells of [records, files]) {
      assertEquals(
        cells.map((record) => [
          record.experiment,
          record.runId,
          record.variantLabel,
          record.variantGroup,
          record.calibrationSeed,
        ]),
        two.cells.map((cell) => [
          "two",
          two.runId,
          cell.variantLabel,
          cell.variantGroup,
          cell.calibrationSeed,
        ]),
      );
    }
  });
});

Deno.test("runPlan() refuses weights that were replaced after they were hashed", async () => {
  await withTinyRun(async (tiny, yaml) => {
    const plan = await tinyPlan(yaml);
    const path = join(tiny.model, "model.safetensors");
    const bytes = await Deno.readFile(path);
    bytes[bytes.length - 4]! ^= 1;
    await Deno.writeFile(path, bytes);
    await Deno.utime(path, new Date(), new Date(Date.now() + 5000));
    await assertRejects(
      () => runPlan(plan, optionsIn(tiny)),
      InputError,
      "weights have changed",
    );
  });
});

Deno.test("runPlan() refuses an --out that is a file, naming it", async () => {
  await withTinyRun(async (tiny, yaml) => {
    const plan = await tinyPlan(yaml);
    await Deno.writeTextFile(tiny.out, "a file");
    await assertRejects(
      () => runPlan(plan, optionsIn(tiny)),
      InputError,
      tiny.out,
    );
    assertEquals(await Deno.readTextFile(tiny.out), "a file");
  });
});

Deno.test("runPlan() takes an empty shard as done, and refuses a limit beyond timers", async () => {
  await withTinyRun(async (tiny, yaml) => {
    const plan = await tinyPlan(yaml);
    const said: string[] = [];
    const result = await runPlan(
      plan,
      optionsIn(tiny, {
        shard: "9/9",
        onEvent: (event) => {
          if (event.type === "log") said.push(event.message);
        },
      }),
    );
    assertEquals(result.exitCode, 0);
    assertEquals(said, ["shard 9/9 is empty: nothing to measure"]);
    await assertRejects(
      () => runPlan(plan, optionsIn(tiny, { timeoutSeconds: 2147484 })),
      InputError,
      "--timeout 2147484: allowed: > 0 and <= 2147483 seconds",
    );
  });
});

Deno.test("Exhaustion skips contexts that are no shorter than one that did not fit", () => {
  const cell = (measure: PlannedCell["measure"], contextTokens?: number) =>
    ({ variantLabel: "a", measure, contextTokens }) as PlannedCell;
  const exhausted = new Exhaustion();
  exhausted.add(cell("cache", 64));
  assertEquals(exhausted.untried(cell("cache", 32)), undefined);
  assertMatch(exhausted.untried(cell("cache", 128))!.error, /contextTokens 64/);
  assertEquals(exhausted.untried(cell("throughput", 128)), undefined);
  exhausted.add(cell("conversion"));
  assertMatch(
    exhausted.untried(cell("throughput", 32))!.error,
    /the conversion/,
  );
});

Deno.test("Exhaustion foresees longer contexts of the same variant and load only", () => {
  const cell = (contextTokens: number, batch: number | "auto", label = "a") =>
    ({
      variantLabel: label,
      measure: "throughput",
      contextTokens,
      load: { batch, memoryBudget: "24GiB" },
    }) as PlannedCell;
  const exhausted = new Exhaustion();
  exhausted.add(cell(16384, "auto"), true);
  assertEquals(exhausted.untried(cell(32768, "auto")), {
    status: "oom",
    error: "memoryBudget foresees out of memory: context 16384 did not fit",
  });
  assertEquals(exhausted.untried(cell(8192, "auto")), undefined);
  assertEquals(exhausted.untried(cell(32768, 1)), undefined);
  assertEquals(exhausted.untried(cell(32768, "auto", "b")), undefined);
});

Deno.test("writeAtomically() leaves no temporary file where it fails, and names the file", async () => {
  const folder = await Deno.makeTempDir({ prefix: "tiny-damage-" });
  try {
    const path = join(folder, "x.json");
    await Deno.mkdir(path);
    await assertRejects(() => writeAtomically(path, "text"), Error, path);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), [
      "x.json",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
