// Divergences, calibration seeds and memory in the report.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cellsTable } from "../src/report/detail_tables.ts";
import { headline } from "../src/report/headline.ts";
import { divergenceTable, seedsTable } from "../src/report/measure_tables.ts";
import {
  collectSeries,
  loadRuns,
  makeFigures,
  renderPage,
  renderSummary,
} from "../src/report/mod.ts";
import { headlineTable } from "../src/report/tables.ts";
import {
  SEEDED,
  SMALL,
  withSampleRun as withRun,
} from "./fixtures/sample_run.ts";

Deno.test("headlineTable() has one row a seed group: mean, deviation over seeds and their number", async () => {
  await withRun(SEEDED, async (directory, records) => {
    const series = collectSeries(await loadRuns([directory]));
    const table = headlineTable(series);
    assertEquals(table.rows.map(({ cells }) => cells[0]!.text), [
      "original",
      "transmla F4 m32 r88 bkv",
      "transmla F4 m32 r128 bkv",
    ]);
    const row = table.rows[1]!;
    assertEquals(row.cells[0]!.note, "n = 3 seeds");
    const at = (head: string) =>
      row.cells[table.columns.findIndex((column) => column.head === head)]!;
    const values = records.flatMap((cell) =>
      cell.measure === "perplexity" && cell.contextTokens === 2048 &&
        cell.variantGroup === row.cells[0]!.text && cell.metrics !== undefined
        ? [cell.metrics.value]
        : []
    );
    const mean = (all: readonly number[]) =>
      all.reduce((sum, value) => sum + value, 0) / all.length;
    const center = mean(values);
    const deviation = Math.sqrt(
      mean(values.map((value) => (value - center) ** 2)) * 3 / 2,
    );
    assertEquals(values.length, 3);
    assertEquals(at("perplexity").text, center.toFixed(2));
    assertEquals(at("perplexity").note, `± ${deviation.toFixed(2)}`);
    const deltas = records.flatMap((cell) =>
      cell.measure === "perplexity" && cell.contextTokens === 2048 &&
        cell.variantGroup === row.cells[0]!.text && cell.metrics !== undefined
        ? [cell.metrics.deltaNll!]
        : []
    );
    const delta = at("ΔNLL [95 % CI], nats").value as number;
    assert(Math.abs(delta - mean(deltas)) < 1e-9, `${delta} and ${deltas}`);
  });
});

Deno.test("a seed that was not measured is said, not averaged in", async () => {
  await withRun(SEEDED, async (directory) => {
    const run = await loadRuns([directory]);
    const part = {
      ...run,
      cells: run.cells.filter((cell) =>
        !(cell.measure === "perplexity" && cell.contextTokens === 2048 &&
          cell.variantLabel === "transmla F4 m32 r88 bkv s44")
      ),
    };
    const row = headlineTable(collectSeries(part)).rows[1]!;
    assertEquals(row.cells[0]!.note, "n = 3 seeds");
    assert(row.cells[4]!.note!.endsWith(" (n = 2)"), row.cells[4]!.note);
    assertEquals(row.cells[4]!.fields!["perplexityAt2048Seeds"], 2);
  });
});

Deno.test("one seed is one seed", async () => {
  await withRun({ ...SEEDED, seeds: [42] }, async (directory) => {
    const run = await loadRuns([directory]);
    const series = collectSeries(run);
    assertEquals(headlineTable(series).rows[1]!.cells[0]!.note, "n = 1 seed");
    assertStringIncludes(headline(series, run), " over 1 seed");
    const text = renderSummary(run);
    assertEquals(/\b1 (calibration )?seeds\b/.test(text), false, text);
  });
});

Deno.test("seedsTable() and conversions list each seed; runs without seeds have no such table", async () => {
  await withRun(SEEDED, async (directory, records) => {
    const table = seedsTable(collectSeries(await loadRuns([directory])));
    assertEquals(
      table.rows.map(({ cells }) => `${cells[0]!.text} ${cells[1]!.text}`),
      [88, 128].flatMap((rank) =>
        [42, 43, 44].map((seed) => `transmla F4 m32 r${rank} bkv ${seed}`)
      ),
    );
    const own = records.find((cell) =>
      cell.variantLabel === "transmla F4 m32 r88 bkv s43" &&
      cell.measure === "divergence" && cell.contextTokens === 2048
    );
    assert(own?.measure === "divergence");
    const index = table.columns.findIndex(({ name }) =>
      name === "klNatsAt2048"
    );
    assertEquals(table.rows[1]!.cells[index]!.value, own.metrics!.klNats);
  });
  await withRun(SMALL, async (directory) => {
    const series = collectSeries(await loadRuns([directory]));
    assertEquals(seedsTable(series).rows, []);
    assertEquals(divergenceTable(series).rows, []);
    assertEquals(
      headlineTable(series).columns.some(({ head }) => head === "KL, nats"),
      false,
    );
  });
});

Deno.test("makeFigures() draws divergences, with bars over seeds", async () => {
  await withRun(SEEDED, async (directory) => {
    const run = await loadRuns([directory]);
    const series = collectSeries(run);
    const figures = makeFigures(series, run);
    const figure = figures.find(({ id }) => id === "divergence-by-cache")!;
    assertStringIncludes(
      figure.caption,
      "standard deviation over 3 calibration seeds",
    );
    const marks = figure.data.filter(({ mode }) => mode === "markers");
    assertEquals(marks.length, 2);
    for (const mark of marks) {
      const bar = mark["error_y"] as { array: number[]; visible: boolean };
      assert(bar.visible && bar.array[0]! > 0, JSON.stringify(bar));
    }
    for (const id of ["perplexity-by-context", "perplexity-by-rank"]) {
      const data = figures.find((one) => one.id === id)!.data;
      assertEquals(
        data.filter((trace) => trace["error_y"] !== undefined).length,
        2,
        id,
      );
    }
  });
});

Deno.test("continuations are shown with their first difference, escaped", async () => {
  await withRun(SEEDED, async (directory) => {
    const run = await loadRuns([directory]);
    const summary = renderSummary(run);
    assertStringIncludes(
      summary,
      "| transmla F4 m32 r88 bkv s42 | 2 of 8 | empty for **a** year \\| and then ↵ sold. |",
    );
    assertStringIncludes(
      summary,
      "> The old house at the end of the road \\<b\\>was",
    );
    const page = await renderPage(run);
    assertStringIncludes(
      page,
      '<span class="same"> empty for </span><mark>a</mark> year | and then\nsold.',
    );
    assertEquals(page.includes("road <b>was"), false);
    assertEquals(page.split("<mark>").length - 1, 3);
  });
});

Deno.test("cellsTable() shows the peak of each cell with its scope", async () => {
  await withRun(SMALL, async (directory) => {
    const { cells: [first, second] } = await loadRuns([directory]);
    const table = cellsTable({
      cells: [
        { ...first!, peakMemoryBytes: 2 ** 30, peakMemoryScope: "cell" },
        second!,
      ],
    });
    const peaks = table.rows.map((
      { cells },
    ) => [cells[6]!.value, cells[7]!.text]);
    assertEquals(peaks, [[2 ** 30, "cell"], [1.2e9, "process"]]);
  });
});
