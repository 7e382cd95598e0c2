// Speed in reports: loads side by side, rooflines, whole requests beside the
// paper's, PyTorch beside us.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { CellRecord, Load } from "../src/experiment/record.ts";
import {
  collectSeries,
  loadRuns,
  makeFigures,
  renderPage,
  renderReadmeSection,
  renderSummary,
} from "../src/report/mod.ts";
import { crossoverNote, requestsTable } from "../src/report/speed_tables.ts";

const ONE: Load = { batch: 1 };
const BUDGET: Load = { batch: "auto", memoryBudget: "24GiB" };

let made = 0;

/** A throughput cell; without a speed it did not fit. */
function cell(
  method: "original" | "mla-shape",
  load: Load,
  contextTokens: number,
  speed?: number,
): CellRecord {
  const id = String(++made).padStart(16, "0");
  return {
    schemaVersion: 1,
    experiment: "speeds",
    runId: "0123456789abcdef",
    cell: id,
    model: {
      id: "synthetic:tiny",
      sha256: "a".repeat(64),
      modelType: "llama",
      numHiddenLayers: 2,
      hiddenSize: 64,
      numAttentionHeads: 4,
      numKeyValueHeads: 2,
      headDim: 16,
    },
    variant: { method },
    variantLabel: method,
    engine: { name: "webgpu", provider: "dawn", dtype: "f16" },
    measure: "throughput",
    contextTokens,
    load,
    startedAt: "2026-01-01T00:00:00.000Z",
    wallSeconds: 1,
    peakMemoryBytes: 1,
    ...(speed === undefined
      ? { status: "oom", error: "weights + cache > 24GiB" }
      : {
        status: "ok",
        metrics: {
          batchSize: 2,
          decodeTokensPerSecond: speed,
          decodeSamples: 2,
          repetitions: 2,
          p50Ms: 2000 / speed,
          p95Ms: 2000 / speed,
          memoryBytes: 1e9,
          roofline: {
            stepBytes: 1e9,
            copyBytesPerSecond: 3e12,
            tokensPerSecond: 2 * speed,
            fraction: 0.5,
          },
          kernels: [
            {
              name: "gemv qkvProj",
              dispatches: 2,
              seconds: 1e-3,
              bytes: 1e9,
              flops: 2e9,
            },
          ],
          requests: {
            count: 100,
            inputTokens: contextTokens / 2,
            outputTokens: contextTokens / 2,
            outputTokensPerSecond: speed / 2,
            seconds: 10,
            prefillSeconds: 1,
            prefillSampledTokens: 1024,
            sampledSteps: [{ contextTokens, ms: 3 }],
          },
        },
      }),
  } as unknown as CellRecord;
}

const CELLS = [
  cell("original", ONE, 1024, 200),
  cell("original", ONE, 8192, 100),
  cell("original", BUDGET, 1024, 400),
  cell("original", BUDGET, 32768),
  cell("mla-shape", ONE, 1024, 150),
  cell("mla-shape", ONE, 8192, 180),
  cell("mla-shape", BUDGET, 1024, 1600),
  cell("mla-shape", BUDGET, 32768, 300),
];

const PEERS = {
  date: "2026-01-01",
  commit: "0123456789abcdef",
  settings: { model: "synthetic:tiny" },
  gpu: { name: "GPU 9000", driver: "1.2" },
  copyBytesPerSecond: 3e12,
  rows: ["original", "mla"].flatMap((kind) =>
    [1024, 8192].map((context) => ({
      case: { kind, batch: 1, context },
      limitSeconds: 0.004,
      speeds: {
        torch: { seconds: 0.01, tokensPerSecond: 100, fraction: 0.4, ratio: 1 },
        dawn: {
          seconds: 0.005,
          tokensPerSecond: 200,
          fraction: 0.8,
          ratio: 2,
        },
      },
      errors: { deno: "no device" },
    }))
  ),
};

async function withRun(
  use: (folder: string) => Promise<void>,
  peers: unknown = PEERS,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/results.jsonl`,
      CELLS.map((one) => JSON.stringify(one) + "\n").join(""),
    );
    await Deno.writeTextFile(`${folder}/peers.json`, JSON.stringify(peers));
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("loadRuns() keeps the cells of every load", async () => {
  await withRun(async (folder) => {
    const run = await loadRuns([folder]);
    assertEquals(run.cells.length, CELLS.length);
    assertEquals(run.problems, []);
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

Deno.test("crossoverNote() compares under the same load and counts what did not fit", async () => {
  await withRun(async (folder) => {
    const note = crossoverNote(collectSeries(await loadRuns([folder])));
    assertStringIncludes(
      note,
      "mla-shape · batch 1: faster than original · batch 1 from 8,192 tokens on",
    );
    assertStringIncludes(
      note,
      "mla-shape · batch auto, 24GiB: faster than original · batch auto, 24GiB at every context",
    );
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

Deno.test("renderReadmeSection() has a section on speed where peers or requests were published", async () => {
  await withRun(async (folder) => {
    const run = await loadRuns([folder]);
    const section = renderReadmeSection([
      {
        path: "results/published/speeds",
        run,
        figures: ["peers-one-sequence"],
      },
    ]);
    assertStringIncludes(section, "### Speed");
    assertStringIncludes(
      section,
      "results/published/speeds/figures/peers-one-sequence.svg",
    );
    assertStringIncludes(section, "2.00×");
  });
});

Deno.test("a peers.json that is none is a line of problems", async () => {
  await withRun(async (folder) => {
    const { problems, peers } = await loadRuns([folder]);
    assertEquals(peers, undefined);
    assertEquals(problems.length, 1);
    assert(!problems[0]!.includes("\n"));
    assertStringIncludes(problems[0]!, "peers.json");
  }, { rows: [{ case: { kind: "mha" } }] });
});
