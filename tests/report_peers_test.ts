// PyTorch beside us: peers.json in a run folder, ours or foreign.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { peerProtocol, peersTable } from "../src/report/decode_peers.ts";
import { readPeers } from "../src/report/load.ts";
import {
  loadPublished,
  loadRuns,
  publishRun,
  renderPage,
  renderReadmeSection,
  renderSummary,
} from "../src/report/mod.ts";
import { peerFigures } from "../src/report/peer_figures.ts";
import { PEERS, withRun } from "./fixtures/speed_cells.ts";

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
    const { peers: _, ...alone } = run;
    const requests = renderReadmeSection([
      {
        path: "results/published/speeds",
        run: alone,
        figures: [],
      },
    ]);
    assertStringIncludes(requests, "#### Whole requests");
    // The column of memory says the load.
    assertStringIncludes(requests, "| mla-shape | 24GiB (RTX 4090) | 1,024 |");
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

Deno.test("peerFigures() counts one sequence that fills the memory among the batches", async () => {
  const row = (batch: number, context: number, limitSeconds: number) => ({
    case: { kind: "original", batch, context },
    limitSeconds,
    speeds: { dawn: { seconds: 1, tokensPerSecond: context } },
    errors: {},
  });
  const rows = [
    row(1, 1024, 0.003),
    row(17, 1024, 0.005),
    row(2, 8192, 0.005),
    row(1, 16384, 0.005),
    // Too much for what holds the batches.
    row(1, 32768, 0.007),
  ];
  await withRun(async (folder) => {
    const { peers } = await loadRuns([folder]);
    const [one, batches] = peerFigures(peers!).map(({ data }) =>
      data.find((trace) => trace["name"] === "dawn, original")!["x"]
    );
    assertEquals(one, [1024, 16384, 32768]);
    assertEquals(batches, [1024, 8192, 16384]);
  }, { ...PEERS, rows });
});

Deno.test("renderReadmeSection() has MLA's speed over the original's on each side, and what a figure's batches fill", async () => {
  const row = (batch: number, context: number) => ({
    case: { kind: "mla", batch, context },
    speeds: { dawn: { seconds: 1, tokensPerSecond: 100 } },
    errors: {},
  });
  const peers = {
    ...PEERS,
    rows: [...PEERS.rows, row(30, 1024), row(4, 8192)],
    mlaRatios: [
      { context: 1024, load: "one", batches: [1, 1], ratios: { dawn: 1.5 } },
      {
        context: 8192,
        load: "budget",
        batches: [2, 30],
        ratios: { dawn: 9, torch: 11 },
      },
    ],
  };
  await withRun(async (folder) => {
    const run = await loadRuns([folder]);
    const section = renderReadmeSection([
      { path: "results/published/speeds", run, figures: ["peers-24gib"] },
    ]);
    assertStringIncludes(section, "| one | 1,024 | 1 | 1 | 1.50× | – |");
    const meaning =
      "MLA decodes with 24 GiB full at up to 9.00× (dawn), 11.0× (torch); with one sequence at up to 1.50× (dawn) the original’s tokens a second.";
    assertStringIncludes(section, meaning);
    assertStringIncludes(
      section,
      "case: dawn at 2.00× torch’s tokens a second",
    );
    assertStringIncludes(renderSummary(run), meaning);
    assertStringIncludes(await renderPage(run), meaning);
    assertStringIncludes(
      section,
      "| 24 GiB full | 8,192 | 2 | 30 | 9.00× | 11.0× |",
    );
    assertStringIncludes(
      section,
      "*Decoding speed, as many sequences as 24 GiB hold.",
    );
  }, peers);
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
