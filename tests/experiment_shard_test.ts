// Several processes on one run folder: shards of a job array, the same run twice.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { decodedLines } from "../src/experiment/lines.ts";
import { shardLine } from "../src/experiment/shard_owed.ts";
import type { PlannedCell } from "../src/experiment/plan.ts";
import type { CellRecord } from "../src/experiment/record.ts";
import {
  experimentCommand,
  runExperiment,
  withTinyFile,
} from "./fixtures/experiment_process.ts";
import {
  assertClean,
  readWholeFiles,
  resultsOf,
  sweepYaml,
} from "./fixtures/sweep_results.ts";
import { type TinyRun, tinyYaml } from "./fixtures/tiny_run.ts";

/** Cells that a process has measured itself, of its JSON log. */
function measuredIn(stderr: string): string[] {
  return stderr.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line))
    .flatMap((event) => event.type === "cellEnd" ? [event.record.cell] : []);
}

const JSON_LOG = ["--log-format", "json"];

async function calibrations(tiny: TinyRun): Promise<number> {
  const cells = join(tiny.out, "cells");
  let runs = 0;
  for (const { name } of Deno.readDirSync(cells)) {
    const record = JSON.parse(await Deno.readTextFile(join(cells, name)));
    runs += record.calibrationRuns ?? 0;
  }
  return runs;
}

Deno.test("shards that run at once, and the same run twice at once, come to one process's results", async () => {
  await withTinyFile(sweepYaml, async (tiny, file) => {
    const one = join(tiny.folder, "one");
    const whole = await runExperiment(tiny, [file, "--out", one]);
    assertEquals(whole.code, 0, whole.stderr);
    const expected = await resultsOf(one);

    for (
      const [name, all] of [
        ["shards", [["--shard", "1/2"], ["--shard", "2/2"]]],
        ["twice", [[], []]],
      ] as const
    ) {
      await Deno.remove(join(tiny.folder, "cache"), { recursive: true });
      const out = join(tiny.folder, name);
      const reading = new AbortController();
      const reader = readWholeFiles(out, reading.signal);
      const outputs = await Promise.all(
        all.map((args) =>
          runExperiment(tiny, [file, "--out", out, ...JSON_LOG, ...args])
        ),
      );
      reading.abort();
      assert(await reader > 0);
      for (const { code, stderr } of outputs) assertEquals(code, 0, stderr);
      assertEquals(await resultsOf(out), expected, name);
      assertClean(out);
      const measured = outputs.map(({ stderr }) => measuredIn(stderr));
      // None is measured twice.
      assertEquals(measured.flat().length, expected.length);
      assertEquals(new Set(measured.flat()).size, expected.length);
      assertEquals(
        await calibrations({ ...tiny, out }),
        await calibrations({ ...tiny, out: one }),
      );
      if (name === "shards") {
        assertEquals(measured.map(({ length }) => length), [17, 17]);
        assertMatch(
          outputs.map(({ stderr }) => stderr).join("\n"),
          /shard [12]\/2 is complete, and so are all others/,
        );
      }
    }
  });
});

Deno.test("a process goes on with the cells of one that was killed beside it", async () => {
  await withTinyFile(sweepYaml, async (tiny, file) => {
    const args = [file, "--out", tiny.out, ...JSON_LOG];
    const first = experimentCommand(tiny, args, { detached: true }).spawn();
    const second = experimentCommand(tiny, args).spawn();
    const killing = (async () => {
      for await (const line of decodedLines(first.stderr)) {
        // It has claimed a cell.
        if (line.includes('"type":"cellStart"')) {
          Deno.kill(-first.pid, "SIGKILL");
        }
      }
    })();
    const { code, stderr } = await second.output();
    await killing;
    await first.status;
    await first.stdout.cancel();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    assertEquals((await resultsOf(tiny.out)).length, 34);
    assertClean(tiny.out);
  });
});

Deno.test("a shard answers for its own cells alone, and says what the others owe", async () => {
  await withTinyFile(
    (tiny) =>
      tinyYaml(tiny, {
        // 40 words are 200 tokens: no window of 256. Its cell is the second shard's.
        measure: `
  perplexity: { text: "${tiny.test}", contexts: [64, 256] }
  cache: { contexts: [32] }`,
        variants: "[{ method: original }]",
        expect: `
  - { variant: original, metric: cache.elementsPerTokenPerLayer, value: 64, absolute: 0 }
  - { variant: original, metric: perplexity.windows, contextTokens: 256, value: 1, absolute: 0 }`,
      }),
    async (tiny, file) => {
      const shard = (name: string) =>
        runExperiment(tiny, [file, "--out", tiny.out, "--shard", name]);
      const first = await shard("1/2");
      assertEquals(first.code, 0, first.stderr);
      assertStringIncludes(
        first.stderr,
        "shard 1/2 is complete; still owed by others: 2/2 1 cell",
      );
      const second = await shard("2/2");
      assertEquals(second.code, 1, second.stderr);
      assertStringIncludes(
        second.stderr,
        "shard 2/2 owes 1 cell; all others are complete",
      );
      // Another's failure is shown, and is not this shard's.
      const again = await shard("1/2");
      assertEquals(again.code, 0, again.stderr);
      assertStringIncludes(
        again.stdout,
        "1 checks do not hold, 1 of them of cells that this call did not select",
      );
    },
    40,
  );
});

Deno.test("a shard is not failed for a difference whose baseline another has yet to measure", async () => {
  await withTinyFile(
    (tiny) =>
      tinyYaml(tiny, {
        measure: `{ perplexity: { text: "${tiny.test}", contexts: [64] } }`,
        expect: `
  - { variant: "transmla*", metric: perplexity.deltaNll, value: 0, absolute: 100 }`,
      }),
    async (tiny, file) => {
      // original; F1: conversion, perplexity; F2: conversion, perplexity.
      const shard = (name: string) =>
        runExperiment(tiny, [file, "--out", tiny.out, "--shard", name]);
      const third = await shard("3/5");
      assertEquals(third.code, 0, third.stderr);
      for (const name of ["1/5", "2/5", "4/5", "5/5"]) {
        assertEquals((await shard(name)).code, 0);
      }
      const checks = JSON.parse(
        await Deno.readTextFile(join(tiny.out, "checks.json")),
      );
      assertEquals(checks.map(({ ok }: { ok: boolean }) => ok), [true, true]);
    },
  );
});

Deno.test("shardLine() names each shard that owes, of the cells that the glob leaves", () => {
  const cells = Array.from({ length: 40 }, (_, i) => ({
    cell: String(i),
    variantLabel: i < 30 ? "a" : "b",
  } as PlannedCell));
  const records = (...ids: number[]) =>
    ids.map((i) => ({ cell: String(i), status: "ok" } as CellRecord));
  assertEquals(
    shardLine(cells, records(0, 3, 1), { shard: "1/3", only: "a" }),
    "shard 1/3 owes 8 cells; still owed by others: 2/3 9 cells, 3/3 10 cells",
  );
  assertEquals(
    shardLine(cells, records(), { shard: "1/20" }).split(": ")[1],
    "2/20 2 cells, 3/20 2 cells, 4/20 2 cells, 5/20 2 cells, 6/20 2 cells, 7/20 2 cells, 8/20 2 cells, 9/20 2 cells, 10/20 2 cells, 11/20 2 cells and by 9 more",
  );
});

Deno.test("of two experiments that begin in one folder at once, one runs and one is refused", async () => {
  await withTinyFile(tinyYaml, async (tiny, file) => {
    const other = join(tiny.folder, "other.yaml");
    await Deno.writeTextFile(other, tinyYaml(tiny, { name: "other" }));
    const outputs = await Promise.all(
      [file, other].map((path) =>
        runExperiment(tiny, [path, "--out", tiny.out])
      ),
    );
    const [run, refused] = outputs.sort((a, b) => a.code - b.code);
    assertEquals([run!.code, refused!.code], [0, 2]);
    assertStringIncludes(
      refused!.stderr,
      "holds the run of another experiment",
    );
    const environment = JSON.parse(
      await Deno.readTextFile(join(tiny.out, "environment.json")),
    );
    const [record] = (await resultsOf(tiny.out)) as { experiment: string }[];
    assertEquals(environment.experiment, record!.experiment);
    assertEquals((await resultsOf(tiny.out)).length, 14);
  });
});
