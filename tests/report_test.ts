// The report from run folders: reading, merging, numbers, figures, escaping.

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { report } from "../src/cli/report.ts";
import type { CellRecord } from "../src/experiment/record.ts";
import { checksTable } from "../src/report/detail_tables.ts";
import { axis, logTicks } from "../src/report/figure.ts";
import {
  collectSeries,
  loadRuns,
  makeFigures,
  renderPage,
  renderSummary,
  writeReport,
} from "../src/report/mod.ts";
import { embedJson } from "../src/report/page.ts";
import { PALETTES } from "../src/report/palette.ts";
import { deltaNll } from "../src/report/series.ts";
import { headlineTable } from "../src/report/tables.ts";
import {
  LARGE,
  SMALL,
  withSampleRun as withRun,
} from "./fixtures/sample_run.ts";

async function edit(
  path: string,
  change: (record: Record<string, unknown>) => void,
): Promise<void> {
  const record = JSON.parse(await Deno.readTextFile(path));
  change(record);
  await Deno.writeTextFile(path, JSON.stringify(record));
}

Deno.test("embedJson() cannot end its script element", () => {
  const text = embedJson({ a: "</script><!--", b: "\u2028" });
  assertEquals(/[<>\u2028]/.test(text), false);
  assertEquals(JSON.parse(text), { a: "</script><!--", b: "\u2028" });
});

Deno.test("logTicks() gives 2 to 21 round ticks inside the range", () => {
  for (const [low, high] of [[10, 12], [15, 31], [5, 90], [3, 8e4], [1, 1e9]]) {
    const ticks = logTicks(low!, high!);
    assert(ticks.length >= 2 && ticks.length <= 21, `${low}-${high}: ${ticks}`);
    assert(ticks.every((tick) => tick >= low! && tick <= high!));
  }
});

Deno.test("axis() has a finite range for a single value", () => {
  for (const isLog of [false, true]) {
    const range = axis({ title: "", values: [7], isLog })["range"] as number[];
    assert(range[0]! < range[1]! && range.every(Number.isFinite));
  }
});

Deno.test("palettes keep a contrast of 3 : 1 between series and page", () => {
  for (const palette of Object.values(PALETTES)) {
    for (const [role, color] of Object.entries(palette)) {
      if (!/^(c\d|ink|muted|bad)$/.test(role)) continue;
      const ratio = contrast(color, palette["page"]!);
      assert(ratio >= 3, `${role} ${color}: ${ratio.toFixed(2)}`);
    }
  }
});

Deno.test("headlineTable() shows the records' numbers beside the baseline's", async () => {
  await withRun(SMALL, async (directory, records) => {
    const series = collectSeries(await loadRuns([directory]));
    const table = headlineTable(series);
    assertEquals(table.columns.map((column) => column.head), [
      "Variant",
      "numbers a token and layer",
      "bytes a token",
      "change",
      "perplexity",
      "ΔNLL [95 % CI], nats",
      "512",
      "2,048",
      "Pareto-optimal",
    ]);
    const row = table.rows.find(({ cells }) =>
      cells[0]!.text === "transmla F4 m32 r88 bkv"
    )!;
    assertEquals(row.cells.slice(1, 4).map(({ text }) => text), [
      "120",
      "14,400",
      "−68.75\u00a0%",
    ]);
    const own = find(records, "transmla F4 m32 r88 bkv", "perplexity", 2048);
    assert(own.measure === "perplexity" && own.metrics !== undefined);
    assertEquals(row.cells[4]!.text, own.metrics.value.toFixed(2));
    assertEquals(
      row.cells[4]!.note,
      `± ${(own.metrics.value * own.metrics.stderr).toFixed(2)}`,
    );
    assertEquals(row.cells[5]!.text, `+${own.metrics.deltaNll!.toFixed(3)}`);
    const [fast, base] = ["transmla F4 m32 r88 bkv", "original"].map(
      (label) => {
        const cell = find(records, label, "throughput", 2048);
        assert(cell.measure === "throughput" && cell.metrics !== undefined);
        return cell.metrics.decodeTokensPerSecond;
      },
    );
    assertEquals(row.cells[7]!.note, `${(fast! / base!).toFixed(2)}×`);
    const original = table.rows[0]!;
    assertEquals(original.tone, "baseline");
    assertEquals(original.cells[5]!.text, "–");
  });
});

Deno.test("deltaNll() pairs the windows where the record has no difference", async () => {
  await withRun(SMALL, async (directory, records) => {
    const own = find(records, "transmla F4 m32 r88 bkv", "perplexity", 2048);
    assert(own.measure === "perplexity" && own.metrics !== undefined);
    await edit(`${directory}/cells/${own.cell}.json`, ({ metrics }) => {
      delete (metrics as Record<string, unknown>)["deltaNll"];
      delete (metrics as Record<string, unknown>)["deltaNllCi95"];
    });
    const series = collectSeries(await loadRuns([directory]));
    const one = series.find(({ label }) => label === own.variantLabel)!;
    assertEquals(one.perplexity.get(2048)!.deltaNll, undefined);
    const delta = deltaNll(one, series, 2048)!;
    assert(Math.abs(delta.value - own.metrics.deltaNll!) < 1e-12);
    assert(
      Math.abs(delta.ci95![0] - own.metrics.deltaNllCi95![0]) < 1e-5,
      `${delta.ci95} and ${own.metrics.deltaNllCi95}`,
    );
  });
});

Deno.test("checksTable() marks what differs", async () => {
  await withRun(LARGE, async (directory) => {
    const table = checksTable(await loadRuns([directory]));
    assertEquals(table.rows.map(({ cells }) => cells[7]!.text), [
      "agrees",
      "differs",
    ]);
    assertEquals(table.rows.map(({ tone }) => tone), [undefined, "bad"]);
    assertEquals(table.rows[0]!.cells[4]!.text, "−0.0004");
  });
});

Deno.test("checksTable() shows a fraction beside an expected integer, and a dash where nothing was measured", () => {
  const check = {
    variantLabel: "a",
    metric: "cache.reduction",
    expected: 1,
    tolerance: 0.1,
    ok: false,
    source: "",
  };
  const texts = (measured: number) =>
    checksTable({
      checks: [{
        ...check,
        measured,
        difference: measured - 1,
        relative: measured - 1,
      }],
    }).rows[0]!.cells.slice(2, 6).map(({ text }) => text);
  assertEquals(texts(0.609), ["1.0000", "0.6090", "−0.3910", "−39.10\u00a0%"]);
  assertEquals(texts(3), ["1", "3", "+2", "+200.00\u00a0%"]);
  assertEquals(texts(NaN), ["1", "–", "–", "–"]);
});

Deno.test("loadRuns() names a broken cell file in one line and keeps the others", async () => {
  await withRun(SMALL, async (directory, records) => {
    const [cache, other] = records;
    assertEquals(cache!.measure, "cache");
    const path = `${directory}/cells/${cache!.cell}.json`;
    await edit(path, (record) => {
      (record["metrics"] as Record<string, unknown>)["bytesPerToken"] = "many";
    });
    await Deno.writeTextFile(
      `${directory}/cells/${other!.cell}.json`,
      "{ cut o",
    );
    const run = await loadRuns([directory]);
    assertEquals(run.cells.length, records.length - 2);
    assertEquals(run.problems.length, 2);
    for (const problem of run.problems) {
      assertEquals(problem.includes("\n"), false);
    }
    assert(run.problems.some((problem) => problem.includes(path)));
    assertMatch(run.problems.join("; "), /metrics\.bytesPerToken/);
  });
});

Deno.test("loadRuns() leaves out cells that the folder's plan does not have", async () => {
  await withRun(LARGE, async (directory, records) => {
    const [stale, ...rest] = records;
    const path = `${directory}/plan.json`;
    const plan = JSON.parse(await Deno.readTextFile(path)) as CellRecord[];
    await Deno.writeTextFile(
      path,
      JSON.stringify(plan.filter(({ cell }) => cell !== stale!.cell)),
    );
    const run = await loadRuns([directory]);
    assertEquals(
      run.cells.map(({ cell }) => cell),
      rest.map(({ cell }) => cell),
    );
  });
});

Deno.test("loadRuns() refuses a folder that is not there or has no record", async () => {
  await assertRejects(
    () => loadRuns(["no/such/run"]),
    InputError,
    "no/such/run",
  );
  const empty = await Deno.makeTempDir();
  await assertRejects(() => loadRuns([empty]), InputError, "cells/*.json");
  await Deno.remove(empty);
});

Deno.test("loadRuns() merges shards in plan order and names what is missing", async () => {
  await withRun(LARGE, async (first, records) => {
    await withRun(LARGE, async (second) => {
      for (const [index, record] of records.entries()) {
        const directory = index % 2 === 0 ? first : second;
        await Deno.remove(`${directory}/cells/${record.cell}.json`);
      }
      const merged = await loadRuns([first, second]);
      assertEquals(
        merged.cells.map(({ cell }) => cell),
        records.map(({ cell }) => cell),
      );
      assertEquals(merged.missing.map(({ cell }) => cell), ["f".repeat(16)]);
      const half = await loadRuns([first]);
      assertEquals(half.missing.length, Math.ceil(records.length / 2) + 1);
    });
  });
});

Deno.test("collectSeries() gives each variant one look, the baseline its own", async () => {
  for (const options of [SMALL, LARGE]) {
    await withRun(options, async (directory) => {
      const series = collectSeries(await loadRuns([directory]));
      const looks = series.map(({ style }) => JSON.stringify(style));
      assertEquals(new Set(looks).size, series.length);
      assertEquals(series[0]!.isBaseline, true);
      assertEquals(series[0]!.style.color, "ink");
    });
  }
});

Deno.test("makeFigures() draws what was measured, the experiment's choice first", async () => {
  await withRun(LARGE, async (directory) => {
    const run = await loadRuns([directory]);
    const figures = makeFigures(collectSeries(run), run);
    assertEquals(figures.map(({ id }) => id), [
      "perplexity-by-cache",
      "throughput-by-context",
      "pareto",
      "perplexity-by-freqfold",
      "perplexity-by-rank",
      "balance-kv",
      "perplexity-by-context",
      "pareto-speed",
      "energy-by-layer",
    ]);
    const noSpeed = {
      ...run,
      cells: run.cells.filter(({ measure }) => measure !== "throughput"),
    };
    const without = makeFigures(collectSeries(noSpeed), noSpeed);
    assertEquals(
      without.some(({ id }) =>
        id === "pareto-speed" || id === "throughput-by-context"
      ),
      false,
    );
    assertMatch(
      without.find(({ id }) => id === "pareto")!.caption,
      /Speed was not measured.* not compared/,
    );
  });
});

Deno.test("renderPage() and renderSummary() take any part of a run", async () => {
  await withRun(LARGE, async (directory) => {
    const whole = await loadRuns([directory]);
    const parts: Record<string, (cell: CellRecord) => boolean> = {
      cache: ({ measure }) => measure === "cache",
      conversion: ({ measure }) => measure === "conversion",
      perplexity: ({ measure }) => measure === "perplexity",
      throughput: ({ measure }) => measure === "throughput",
      baseline: ({ variant }) => variant.method === "original",
      converted: ({ variant }) => variant.method !== "original",
      failed: ({ status }) => status !== "ok",
    };
    for (const [name, isIn] of Object.entries(parts)) {
      const part = { ...whole, cells: whole.cells.filter(isIn) };
      assert(part.cells.length > 0, name);
      const summary = renderSummary(part);
      assertEquals(/NaN|undefined|Infinity/.test(summary), false, name);
      assertStringIncludes(await renderPage(part), "</html>");
    }
  });
});

Deno.test("renderPage() escapes what files say and asks for nothing", async () => {
  await withRun(LARGE, async (directory) => {
    const html = await renderPage(await loadRuns([directory]));
    assertEquals(html.includes("<script>alert"), false);
    assertStringIncludes(html, "&#60;script&#62;alert(1)");
    assertStringIncludes(html, "default-src 'none'");
    assertEquals(
      /<(?:link|img|script)[^>]+(?:src|href)="(?!data:)/.test(html),
      false,
    );
    const data = /id="report-data">([^<]*)</.exec(html)![1]!;
    assertEquals(/NaN|null/.test(data), false);
  });
});

Deno.test("writeReport() writes the same files again", async () => {
  await withRun(SMALL, async (directory) => {
    const { summaryPath, reportPath } = await writeReport(directory);
    const before = [summaryPath, reportPath].map((path) =>
      Deno.readTextFileSync(path)
    );
    await writeReport(directory);
    assertEquals(
      [summaryPath, reportPath].map((path) => Deno.readTextFileSync(path)),
      before,
    );
    assertStringIncludes(before[0]!, "| transmla F4 m32 r88 bkv | 120 |");
  });
});

Deno.test("report() merges folders into --out, and exits with 1 for a broken cell", async () => {
  await withRun(SMALL, async (directory, records) => {
    const out = `${directory}/merged`;
    assertEquals(await report([directory, directory, "--out", out]), 0);
    assertStringIncludes(await Deno.readTextFile(`${out}/report.html`), "<h1>");
    await Deno.writeTextFile(
      `${directory}/cells/${records[0]!.cell}.json`,
      "[]",
    );
    assertEquals(await report([directory]), 1);
    assertStringIncludes(
      await Deno.readTextFile(`${directory}/summary.md`),
      `${records[0]!.cell}.json`,
    );
    await assertRejects(() => report([]), InputError, "no run folder");
  });
});

Deno.test("renderSummary() has as many cells in every table line as in its heading", async () => {
  await withRun(LARGE, async (directory) => {
    let columns = 0;
    for (const line of renderSummary(await loadRuns([directory])).split("\n")) {
      const cells = line.replaceAll("\\|", "").split("|").length;
      if (!line.startsWith("|")) columns = 0;
      else if (columns === 0) columns = cells;
      else assertEquals(cells, columns, line);
    }
  });
});

function find(
  records: readonly CellRecord[],
  label: string,
  measure: string,
  context: number,
): CellRecord {
  const record = records.find((one) =>
    one.variantLabel === label && one.measure === measure &&
    one.contextTokens === context
  );
  assert(record !== undefined, `${label} ${measure} ${context}`);
  return record;
}

/** WCAG's contrast ratio of two "#rrggbb" colors. */
function contrast(a: string, b: string): number {
  const luminance = (color: string) => {
    const [red, green, blue] = [1, 3, 5].map((start) => {
      const value = parseInt(color.slice(start, start + 2), 16) / 255;
      return value <= 0.04045
        ? value / 12.92
        : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  };
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}
