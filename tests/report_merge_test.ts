// Many folders in one report: shards and repetitions of one run are merged,
// runs are shown side by side.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { report } from "../src/cli/report.ts";
import type { CellRecord } from "../src/experiment/record.ts";
import { headline } from "../src/report/headline.ts";
import {
  collectSeries,
  joinRuns,
  jointFigures,
  loadRunGroups,
  loadRuns,
  publishRun,
  renderJointPage,
  renderJointSummary,
  renderPage,
  renderSummary,
} from "../src/report/mod.ts";
import { paretoFront } from "../src/report/pareto.ts";
import { headlineTable } from "../src/report/tables.ts";
import {
  LARGE,
  SMALL,
  withSampleRun as withRun,
} from "./fixtures/sample_run.ts";

async function rewrite(
  directory: string,
  records: readonly CellRecord[],
): Promise<void> {
  for await (const { name } of Deno.readDir(`${directory}/cells`)) {
    await Deno.remove(`${directory}/cells/${name}`);
  }
  for (const record of records) {
    await Deno.writeTextFile(
      `${directory}/cells/${record.cell}.json`,
      JSON.stringify(record),
    );
  }
}

Deno.test("loadRunGroups() merges shards to the unsharded run's report", async () => {
  await withRun(LARGE, async (whole, records) => {
    await withRun(LARGE, async (first) => {
      await withRun(LARGE, async (second) => {
        await rewrite(first, records.filter((_, i) => i % 2 === 0));
        await rewrite(second, records.filter((_, i) => i % 2 === 1));
        const groups = await loadRunGroups([first, second]);
        assertEquals(groups.length, 1);
        const merged = groups[0]!.run;
        const complete = await loadRuns([whole]);
        assertEquals(merged.cells, complete.cells);
        assertEquals(merged.missing, complete.missing);
        assertEquals(merged.superseded, 0);
        const table = (text: string) =>
          text.slice(text.indexOf("| Variant"), text.indexOf("\n\n±"));
        assertEquals(
          table(renderSummary(merged)),
          table(renderSummary(complete)),
        );
        assertStringIncludes(
          renderSummary(merged),
          "Merged from 2 folders.",
        );
      });
    });
  });
});

Deno.test("loadRunGroups() keeps shards of different texts or weights apart", async () => {
  await withRun(SMALL, async (first, records) => {
    await withRun(SMALL, async (second) => {
      const other = "c".repeat(64);
      const half = records.filter((_, i) => i % 2 === 1);
      const groups = async (change: (record: CellRecord) => CellRecord) => {
        await rewrite(second, half.map(change));
        return (await loadRunGroups([first, second])).length;
      };
      await rewrite(first, records.filter((_, i) => i % 2 === 0));
      const retold = (record: CellRecord) =>
        record.measure === "perplexity" && record.metrics !== undefined
          ? { ...record, metrics: { ...record.metrics, textSha256: other } }
          : record;
      assertEquals(await groups((record) => record), 1);
      assertEquals(await groups(retold), 2);
      assertEquals(
        await groups((record) => ({
          ...record,
          model: { ...record.model, sha256: other },
        })),
        2,
      );
      // The calibration text is named in the environment alone.
      await rewrite(second, half);
      for (const [folder, sha256] of [[first, other], [second, "d"]] as const) {
        const path = `${folder}/environment.json`;
        const environment = JSON.parse(await Deno.readTextFile(path));
        const texts = [{ name: "calibration text", sha256 }];
        await Deno.writeTextFile(
          path,
          JSON.stringify({ ...environment, texts }),
        );
      }
      assertEquals((await loadRunGroups([first, second])).length, 2);
    });
  });
});

Deno.test("paretoFront() and headline() do not rank perplexities of different texts", async () => {
  await withRun(SMALL, async (folder, records) => {
    const last = records.findLast(({ measure }) => measure === "perplexity")!;
    const changed = records.map((record) =>
      record.measure === "perplexity" && record.metrics !== undefined &&
        record.variantLabel === last.variantLabel
        ? {
          ...record,
          metrics: { ...record.metrics, textSha256: "c".repeat(64) },
        }
        : record
    );
    const of = async () => {
      const run = await loadRuns([folder]);
      const series = collectSeries(run);
      return [
        paretoFront(series) !== null,
        headline(series, run).includes("perplexity"),
      ];
    };
    assertEquals(await of(), [true, true]);
    await rewrite(folder, changed);
    assertEquals(await of(), [false, false]);
  });
});

Deno.test("loadRuns() shows of a repeated cell an ok one before others, then a foreseen end, then the latest", async () => {
  await withRun(SMALL, async (first, records) => {
    await withRun(SMALL, async (second) => {
      const [a, b, c] = records.filter(({ measure }) =>
        measure === "throughput"
      ) as [CellRecord, CellRecord, CellRecord];
      const failed = (record: CellRecord, error: string, status = "failed") => {
        const { metrics: _, ...rest } = record;
        return { ...rest, status, error } as CellRecord;
      };
      const later = { startedAt: "2027-01-01T00:00:00Z" };
      const other = records.filter((one) => ![a, b, c].includes(one));
      await rewrite(first, [
        ...other,
        a,
        failed(b, "exceeds the stated memory budget", "oom"),
        c,
      ]);
      // Of another machine: the same cells under other ids.
      const renamed = (record: CellRecord) => ({
        ...record,
        cell: `e${record.cell.slice(1)}`,
        ...later,
      });
      await rewrite(second, [
        renamed(failed(a, "crashed")),
        renamed(b),
        renamed(c),
      ]);
      const run = await loadRuns([first, second]);
      const shown = (record: CellRecord) =>
        run.cells.filter((one) =>
          one.variantLabel === record.variantLabel &&
          one.measure === record.measure &&
          one.contextTokens === record.contextTokens
        );
      assertEquals(shown(a), [a]);
      assertEquals(shown(b), [renamed(b)]);
      assertEquals(shown(c), [renamed(c)]);
      assertEquals(run.cells.length, records.length);
      assertEquals(run.superseded, 3);
    });
  });
});

Deno.test("report() names missing cells by label, measure and context everywhere", async () => {
  await withRun(LARGE, async (directory) => {
    const line = "transmla F16 m32 r160: throughput at 16,384";
    const run = await loadRuns([directory]);
    assertStringIncludes(renderSummary(run), `- ${line}`);
    assertStringIncludes(await renderPage(run), `<li>${line}</li>`);
    const { stderr, code } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "-A", "src/cli/report.ts", directory],
      stdout: "null",
      stderr: "piped",
    }).output();
    assertEquals(code, 0);
    const text = new TextDecoder().decode(stderr);
    assertStringIncludes(text, "cells is not measured");
    assertStringIncludes(text, `missing: ${line}`);
  });
});

Deno.test("several runs have a joint table keyed by run and label, and a section each", async () => {
  await withRun({ ...SMALL, experiment: "one" }, async (first) => {
    const options = { ...LARGE, experiment: "two", runId: "b".repeat(16) };
    await withRun(options, async (second) => {
      const published = `${second}/published`;
      await publishRun(second, published, { partial: true });
      // A published folder and its run are one run.
      const runs = await loadRunGroups([first, second, published]);
      assertEquals(runs.map(({ name }) => name), ["one", "two"]);
      const joint = joinRuns(runs);
      const table = headlineTable(joint.series, joint.front);
      const keys = table.rows.map(({ cells }) =>
        `${cells[1]!.text}: ${cells[0]!.text}`
      );
      assertEquals(new Set(keys).size, keys.length);
      assertEquals(keys.length, 3 + 21);
      assertEquals(keys[0], "one: original");
      assertEquals(
        jointFigures(joint).map(({ id }) => id),
        [
          "joint-perplexity-by-cache",
          "joint-throughput-by-context",
          "joint-pareto",
          "joint-pareto-speed",
        ],
      );
      const page = await renderJointPage(runs);
      for (const name of ["one", "two"]) {
        assertStringIncludes(page, `data-select="${name}"`);
        assertMatch(page, new RegExp(`<section class="run"[^>]*"${name}"`));
      }
      const ids = [...page.matchAll(/<figure id="([^"]+)"/g)].map((m) => m[1]);
      assertEquals(new Set(ids).size, ids.length);
      assertEquals(page.includes("<script>alert"), false);
      const summary = renderJointSummary(runs);
      assertMatch(summary, /^# one and two\n/);
      assertMatch(summary, /\n## one\n[^]*\n### Results\n[^]*\n## two\n/);
      const out = `${first}/joint`;
      assertEquals(
        await report([first, second, "--out", out, "--format", "csv"]),
        0,
      );
      const csv = await Deno.readTextFile(`${out}/tables/results.csv`);
      assertEquals(csv.trimEnd().split("\r\n").length, 1 + keys.length);
      assert((await Deno.stat(`${out}/tables/two/results.csv`)).isFile);
    });
  });
});

Deno.test("joinRuns() ranks together only what was measured on the same model, text and windows", async () => {
  await withRun(SMALL, async (first) => {
    await withRun({ ...SMALL, runId: "c".repeat(16) }, async (second) => {
      const runs = await loadRunGroups([first, second]);
      // One experiment, one engine and machine: told apart by their ids.
      assertEquals(runs.map(({ name }) => name), [
        "sample · 5a4d91e0",
        "sample · cccccccc",
      ]);
      assertEquals(joinRuns(runs).differences, []);
      assert(joinRuns(runs).front !== null);
      const [one, two] = runs as [typeof runs[0], typeof runs[0]];
      const changed = {
        name: two.name,
        run: {
          ...two.run,
          environments: [{ cpu: { model: "Another CPU", cores: 8 } }],
          cells: two.run.cells.map((cell) => ({
            ...cell,
            model: { ...cell.model, id: "other-model" },
          })),
        },
      };
      const joint = joinRuns([one, changed]);
      assertEquals(joint.front, null);
      assertMatch(
        joint.differences.join(" "),
        /models differ.*machines differ/,
      );
      assertStringIncludes(
        renderJointSummary([one, changed]),
        "The models differ",
      );
      assertEquals(
        jointFigures(joint).some(({ id }) => id.startsWith("joint-pareto")),
        false,
      );
      // Each is compared with the baseline of its own run.
      const delta = headlineTable(joint.series, null).rows[4]!.cells[6]!;
      assertMatch(delta.text, /^\+/);
    });
  });
});
