// Speed in reports: loads side by side, rooflines, whole requests beside the paper's.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { CellRecord, Load } from "../src/experiment/record.ts";
import { compareRuns } from "../src/report/compare.ts";
import { comparisonSections } from "../src/report/compare_tables.ts";
import { crossoverMeaning, crossoverTable } from "../src/report/crossovers.ts";
import { checksTable } from "../src/report/detail_tables.ts";
import { headline } from "../src/report/headline.ts";
import {
  collectSeries,
  loadRuns,
  makeFigures,
  renderPage,
  renderSummary,
} from "../src/report/mod.ts";
import type { RunData } from "../src/report/load.ts";
import { protocol } from "../src/report/protocol.ts";
import {
  kernelsTable,
  requestsMeaning,
  requestsTable,
} from "../src/report/speed_tables.ts";
import {
  BUDGET,
  cell,
  CELLS,
  ONE,
  withCells,
  withRun,
} from "./fixtures/speed_cells.ts";

Deno.test("loadRuns() keeps the cells of every load", async () => {
  await withRun(async (folder) => {
    const run = await loadRuns([folder]);
    assertEquals(run.cells.length, CELLS.length);
    assertEquals(run.problems, []);
    const looks = collectSeries(run).map(({ style }) => JSON.stringify(style));
    assertEquals(new Set(looks).size, looks.length);
    assertEquals(
      collectSeries(run).map(({ label }) => label),
      [
        "original · batch 1",
        "original · batch auto, 24GiB",
        "mla-shape · batch 1",
        "mla-shape · batch auto, 24GiB",
      ],
    );
  });
});

/** Rows of crossoverTable() as texts. */
function crossovers(run: RunData, what?: "decode" | "output"): string[][] {
  return crossoverTable(collectSeries(run), what).rows.map(({ cells }) =>
    cells.map(({ text }) => text)
  );
}

Deno.test("crossoverTable() compares under the same load and counts what did not fit", async () => {
  await withRun(async (folder) => {
    assertEquals(crossovers(await loadRuns([folder]), "decode"), [
      ["mla-shape · batch 1", "from 8,192 on", "1.80×", "8,192"],
      [
        "mla-shape · batch auto, 24GiB",
        "at every context",
        "4.00×",
        "1,024",
      ],
    ]);
  });
});

Deno.test("requestsTable() has the paper's speeds beside ours, OOM included", async () => {
  await withRun(async (folder) => {
    const table = requestsTable(collectSeries(await loadRuns([folder])));
    const rows = table.rows.map(({ cells }) => cells.map(({ text }) => text));
    const at = (context: string) =>
      rows.find((cells) =>
        cells[1] === "24GiB (RTX 4090)" && cells[2] === context
      )!;
    assertEquals(at("1,024")[0], "mla-shape");
    assertEquals(at("1,024").slice(5), [
      "200",
      "800",
      "4.00×",
      "654",
      "3,044",
      "4.66×",
    ]);
    assertEquals(at("32,768").slice(5, 10), [
      "OOM",
      "150",
      "–",
      "OOM",
      "OOM",
    ]);
  });
});

Deno.test("reports show limits, kernels and PyTorch beside us", async () => {
  await withRun(async (folder) => {
    const run = await loadRuns([folder]);
    const series = collectSeries(run);
    const summary = renderSummary(run);
    assertStringIncludes(summary, "## Decoding speed against its limit");
    assertStringIncludes(summary, "## Where variants are faster");
    assertStringIncludes(summary, "## Decoding beside PyTorch");
    assertStringIncludes(summary, "One GPU 9000, driver 1.2");
    assertStringIncludes(await renderPage(run), "gemv qkvProj");
    const figures = makeFigures(series, run);
    const one = figures.find(({ id }) => id === "peers-one-sequence");
    assertEquals(one?.data.map((trace) => trace["name"]), [
      "limit, MLA",
      "dawn, MLA",
      "torch, MLA",
      "limit, original",
      "dawn, original",
      "torch, original",
    ]);
    const speed = figures.find(({ id }) => id === "throughput-by-context");
    assertEquals(speed?.title, "Output speed by context");
    // A limit and a line a series.
    assertEquals(speed?.data.length, 8);
  });
});

Deno.test("crossoverTable() of a variant that is faster at short contexts only does not call it slower at every one", async () => {
  const cells = [
    cell("original", ONE, 1024, 100),
    cell("original", ONE, 2048, 100),
    cell("original", ONE, 4096, 100),
    cell("mla-shape", ONE, 1024, 150),
    cell("mla-shape", ONE, 2048, 90),
    cell("mla-shape", ONE, 4096),
  ];
  await withCells(cells, (run) => {
    assertEquals(crossovers(run, "decode"), [
      ["mla-shape · batch 1", "not at 4,096, the longest", "1.50×", "1,024"],
    ]);
  });
});

Deno.test("crossoverTable() calls nothing faster that only fits where the original does not", async () => {
  const cells = [
    cell("original", ONE, 1024, 100),
    cell("original", ONE, 2048, 100),
    cell("original", ONE, 4096),
    cell("mla-shape", ONE, 1024, 80),
    cell("mla-shape", ONE, 2048, 70),
    cell("mla-shape", ONE, 4096, 60),
  ];
  await withCells(cells, (run) => {
    assertEquals(crossovers(run, "decode"), [
      [
        "mla-shape · batch 1",
        "at no context; from 4,096 the baseline does not fit",
        "0.80×",
        "1,024",
      ],
    ]);
  });
});

Deno.test("requestsMeaning() says by how much a last batch that was not timed could flatter", async () => {
  const made = cell("original", BUDGET, 1024, 100);
  const metrics = made.metrics as unknown as {
    batchSize: number;
    requests: Record<string, unknown>;
  };
  const meaning = async (requests: Record<string, unknown>) => {
    metrics.batchSize = 30;
    metrics.requests = {
      ...metrics.requests,
      count: 100,
      seconds: 10,
      prefillSeconds: 2,
      ...requests,
    };
    let text = "";
    await withCells([made], (run) => {
      text = requestsMeaning(run);
    });
    return text;
  };
  // 4 batches instead of 3.33 are 20 % more of 8 of 10 seconds.
  assert(/too high by 16\s% at most/.test(await meaning({})));
  const steps = [{ contextTokens: 600, ms: 5 }];
  assertStringIncludes(
    await meaning({ lastBatch: { sequences: 10, sampledSteps: steps } }),
    "were timed as a batch of their own",
  );
});

Deno.test("crossoverTable() of whole requests compares their output, not the decoding", async () => {
  const outputs: Record<string, number> = { "original": 10, "mla-shape": 20 };
  const cells = [1024, 2048].flatMap((context) =>
    (["original", "mla-shape"] as const).map((method) => {
      // MLA decodes slower, and serves more.
      const made = cell(method, ONE, context, method === "original" ? 9 : 8);
      const metrics = made.metrics as unknown as {
        requests: { outputTokensPerSecond: number };
      };
      metrics.requests.outputTokensPerSecond = outputs[method]!;
      return made;
    })
  );
  await withCells(cells, (run) => {
    assertEquals(crossovers(run), [
      ["mla-shape · batch 1", "at every context", "2.00×", "1,024"],
    ]);
    assertStringIncludes(
      crossoverMeaning(collectSeries(run)),
      "Output tokens a second of whole requests",
    );
    assertEquals(crossovers(run, "decode")[0]![1], "at no context");
  });
});

Deno.test("requestsTable() names the experiment's only budget, with the paper's speeds for it", async () => {
  const cells = (["original", "mla-shape"] as const).map((method) => {
    const { load: _load, ...made } = cell(method, BUDGET, 1024, 100);
    return made as CellRecord;
  });
  const experiment = "measure:\n  throughput:\n    memoryBudget: 24GiB\n";
  await withCells(cells, (run) => {
    const [row] = requestsTable(collectSeries(run)).rows;
    const texts = row!.cells.map(({ text }) => text);
    assertEquals(texts[1], "24GiB (RTX 4090)");
    assertEquals(texts[8], "654");
  }, experiment);
});

Deno.test("a budget of a foreign record that is no card of the paper has no speeds beside it", async () => {
  const load: Load = { batch: "auto", memoryBudget: "constructor" };
  const cells = (["original", "mla-shape"] as const).map((method) =>
    cell(method, load, 1024, 100)
  );
  await withCells(cells, (run) => {
    const [row] = requestsTable(collectSeries(run)).rows;
    assertEquals(row!.cells[1]!.text, "constructor");
    assertEquals(row!.cells[8]!.text, "–");
  });
});

Deno.test("speeds at the ends of what a number holds are drawn", async () => {
  const cells = [
    cell("original", ONE, 1024, 1e-306),
    cell("original", ONE, 8192, 1e-306),
    cell("mla-shape", ONE, 1024, 1e307),
    cell("mla-shape", ONE, 8192, 1e307),
  ];
  await withCells(cells, async (run) => {
    const [figure] = makeFigures(collectSeries(run), run);
    const { yaxis } = figure!.layout as {
      yaxis: { range: [number, number]; tickvals: number[] };
    };
    assert(yaxis.range.every((bound) => Number.isFinite(10 ** bound)));
    assert(yaxis.tickvals.length < 20, `${yaxis.tickvals.length} ticks`);
    assertStringIncludes(await renderPage(run), "mla-shape");
  });
});

Deno.test("kernels that took no time have no rate and no share", async () => {
  const made = cell("mla-shape", ONE, 1024, 100);
  const { kernels } = made.metrics as unknown as {
    kernels: { seconds: number }[];
  };
  kernels[0]!.seconds = 0;
  await withCells([made], (run) => {
    const [row] = kernelsTable(collectSeries(run)).rows;
    const texts = row!.cells.map(({ text }) => text);
    assertEquals(texts.slice(-4), ["0", "–", "–", "–"]);
  });
});

Deno.test("summaries count variants, not their loads", async () => {
  await withRun(async (folder) => {
    const run = await loadRuns([folder]);
    const text = headline(collectSeries(run), run);
    assertStringIncludes(
      text,
      "The conversion of synthetic:tiny was measured under 2 loads.",
    );
    assertStringIncludes(
      text,
      "At 8,192 tokens of context mla-shape · batch 1 decodes at 1.80× the baseline’s speed.",
    );
  });
});

Deno.test("compareRuns() tells loads apart, compares output, and calls steps and requests unlike", () => {
  const steps = CELLS.map((one) => {
    if (one.metrics === undefined) return one;
    const { requests: _, ...metrics } = one.metrics as { requests?: unknown };
    return { ...one, metrics } as unknown as CellRecord;
  });
  const run = (cells: readonly CellRecord[]) => ({ name: "run", cells });
  const same = compareRuns(run(CELLS), run(CELLS));
  const section = comparisonSections(same).find(({ title }) =>
    title === "Throughput"
  );
  const labels = section!.table.rows.map(({ cells }) => cells[0]!.text);
  assert(labels.includes("original · batch 1"));
  assert(labels.includes("original · batch auto, 24GiB"));
  assert(
    same.pairs[0]!.differences.some(({ metric }) =>
      metric === "throughput.outputTokensPerSecond"
    ),
  );
  assertEquals(same.pairs.flatMap(({ unlike }) => unlike), []);
  const [first] = compareRuns(run(CELLS), run(steps)).pairs;
  assertEquals(first!.unlike, [
    "workloads: 100 requests of 512 + 512 tokens, decode",
  ]);
});

Deno.test("checks of several loads are told apart, equal ones are not merged", async () => {
  await withRun(async (folder) => {
    const check = (load: Load) => ({
      variantLabel: "original",
      metric: "throughput.batchSize",
      contextTokens: 1024,
      load,
      expected: 2,
      measured: 2,
      difference: 0,
      relative: 0,
      tolerance: 0,
      ok: true,
      source: "",
    });
    await Deno.writeTextFile(
      `${folder}/checks.json`,
      JSON.stringify([check(ONE), check(BUDGET)]),
    );
    const run = await loadRuns([folder]);
    assertEquals(run.problems, []);
    assertEquals(
      checksTable(run).rows.map(({ cells }) => cells[0]!.text),
      ["original · batch 1", "original · batch auto, 24GiB"],
    );
  });
});

Deno.test("protocols say where along whole requests steps were timed", async () => {
  await withRun(async (folder) => {
    assertStringIncludes(
      protocol(await loadRuns([folder]), { speed: true }),
      "median decode step of 2 repetitions at lengths along the generation of whole requests",
    );
  });
});
