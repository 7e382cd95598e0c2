// Speed in reports: loads side by side, rooflines, whole requests beside the
// paper's, PyTorch beside us.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import type { CellRecord, Load } from "../src/experiment/record.ts";
import { compareRuns } from "../src/report/compare.ts";
import { comparisonSections } from "../src/report/compare_tables.ts";
import {
  peerFigures,
  peerProtocol,
  peersTable,
} from "../src/report/decode_peers.ts";
import { headline } from "../src/report/headline.ts";
import { readPeers, type RunData } from "../src/report/load.ts";
import {
  collectSeries,
  loadPublished,
  loadRuns,
  makeFigures,
  publishRun,
  renderPage,
  renderReadmeSection,
  renderSummary,
} from "../src/report/mod.ts";
import {
  crossoverNote,
  kernelsTable,
  requestsTable,
} from "../src/report/speed_tables.ts";

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

Deno.test("crossoverNote() of a variant that is faster at short contexts only does not call it slower at every one", async () => {
  const cells = [
    cell("original", ONE, 1024, 100),
    cell("original", ONE, 2048, 100),
    cell("original", ONE, 4096, 100),
    cell("mla-shape", ONE, 1024, 150),
    cell("mla-shape", ONE, 2048, 90),
    cell("mla-shape", ONE, 4096),
  ];
  await withCells(cells, (run) => {
    const note = crossoverNote(collectSeries(run));
    assertEquals(
      note,
      "mla-shape · batch 1: not faster than original · batch 1 at 4,096 tokens, the longest that compares, at most 1.50× at 1,024.",
    );
  });
});

Deno.test("a figure of whole requests compares their output, not the decoding", async () => {
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
    const series = collectSeries(run);
    const figure = makeFigures(series, run).find(({ id }) =>
      id === "throughput-by-context"
    );
    assertStringIncludes(
      figure!.caption,
      "more output a second than original · batch 1 at every context, at most 2.00×",
    );
    assertStringIncludes(crossoverNote(series), "not faster than");
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

Deno.test("peers.json of our side alone speaks of no torch, and says its element type", async () => {
  const rows = PEERS.rows.map(({ speeds: { dawn }, ...row }) => ({
    ...row,
    speeds: { dawn: { seconds: dawn.seconds, tokensPerSecond: 200 } },
    errors: {},
  }));
  const settings = { model: "synthetic:tiny", dtype: "f32" };
  await withRun(async (folder) => {
    const { peers } = await loadRuns([folder]);
    const protocol = peerProtocol(peers!);
    assertStringIncludes(protocol, "synthetic:tiny, f32, greedy");
    assert(!protocol.includes("torch"), protocol);
    assertEquals(
      peersTable(peers).columns.map(({ name }) => name),
      [
        "shape",
        "contextTokens",
        "batchSize",
        "dawnTokensPerSecond",
        "dawnFraction",
      ],
    );
  }, { ...PEERS, settings, rows });
});

Deno.test("a side of peers.json that failed everywhere has a column that says so", async () => {
  await withRun(async (folder) => {
    const { peers } = await loadRuns([folder]);
    const { columns, rows } = peersTable(peers);
    const at = columns.findIndex(({ name }) => name === "denoTokensPerSecond");
    assertEquals(rows.map(({ cells }) => cells[at]!.text), [
      ...Array(4).fill("failed"),
    ]);
  });
});

Deno.test("peerFigures() draws the largest batch of a context, one point each", async () => {
  const row = (batch: number, tokensPerSecond: number) => ({
    case: { kind: "mla", batch, context: 1024 },
    speeds: { dawn: { seconds: 1, tokensPerSecond } },
    errors: {},
  });
  const long = {
    ...row(2, 30),
    case: { kind: "mla", batch: 2, context: 8192 },
  };
  await withRun(async (folder) => {
    const { peers } = await loadRuns([folder]);
    const [figure] = peerFigures(peers!);
    assertEquals(figure!.data.map((trace) => [trace["x"], trace["y"]]), [
      [[1024, 8192], [170, 30]],
    ]);
  }, { ...PEERS, rows: [row(3, 90), row(17, 170), long] });
});

Deno.test("control characters of a foreign peers.json reach no terminal", async () => {
  await withRun(async (folder) => {
    const { peers, problems } = await loadRuns([folder]);
    assertEquals(peers, undefined);
    assertStringIncludes(problems[0]!, "gpu.name");
    assertStringIncludes(problems[0]!, "control character");
  }, { ...PEERS, gpu: { name: "GPU\u001b[31m", driver: "1" } });
});

Deno.test("a broken peers.json stops publishing, the README and a validation of the run", async () => {
  const broken = { ...PEERS, rows: 5 };
  await withRun(async (folder) => {
    const target = `${folder}/published/speeds`;
    await assertRejects(
      () => publishRun(folder, target),
      InputError,
      "a part of it would be lost",
    );
    const problems: string[] = [];
    assertEquals(await readPeers(folder, problems), undefined);
    const { files } = await publishRun(folder, target, { partial: true });
    assert(!files.includes("peers.json"));
    await Deno.writeTextFile(`${target}/peers.json`, JSON.stringify(broken));
    await assertRejects(
      () => loadPublished(`${folder}/published`),
      InputError,
      "peers.json as rows is not valid",
    );
    assertEquals(problems.length, 1);
  }, broken);
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

/** A run of these cells, with the text of its experiment where it matters. */
async function withCells(
  cells: readonly CellRecord[],
  use: (run: RunData) => void | Promise<void>,
  experiment?: string,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/results.jsonl`,
      cells.map((one) => JSON.stringify(one) + "\n").join(""),
    );
    if (experiment !== undefined) {
      await Deno.writeTextFile(`${folder}/experiment.yaml`, experiment);
    }
    await use(await loadRuns([folder]));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
