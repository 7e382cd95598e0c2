// What leaves a run for a repository: published folders and the README's results.

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import deno from "../deno.json" with { type: "json" };
import { InputError } from "../src/base/errors.ts";
import { publish } from "../src/cli/publish.ts";
import { readme } from "../src/cli/readme.ts";
import { auditRun } from "../src/experiment/run_audit.ts";
import {
  loadPublished,
  loadRuns,
  publishRun,
  renderPage,
  renderReadmeSection,
  renderSummary,
  updateReadme,
} from "../src/report/mod.ts";
import { scrub, scrubText } from "../src/report/scrub.ts";
import { requirement } from "./fixtures/requirements.ts";
import {
  LARGE,
  SMALL,
  withSampleRun as withRun,
} from "./fixtures/sample_run.ts";

Deno.test("scrubText() cuts folders and host names, not URLs, rates or texts", () => {
  assertEquals(
    scrubText("/home/ann/models/a.gguf and C:\\Users\\ann\\b.txt on box17", [
      "box17",
    ]),
    "a.gguf and b.txt on host",
  );
  assertEquals(scrubText("file:/data/texts/c.txt"), "file:c.txt");
  assertEquals(scrubText("file:///data/texts/c.txt"), "c.txt");
  for (
    const kept of [
      "https://arxiv.org/abs/2502.07864",
      "41.2 tokens/s",
      "wikitext-2/test",
      "int8 / int4",
    ]
  ) assertEquals(scrubText(kept), kept);
  assertEquals(
    scrub({ hostname: "box17", cpu: { model: "X" }, cwd: "/a/b" }),
    { cpu: { model: "X" } } as unknown as {
      hostname: string;
      cpu: { model: string };
      cwd: string;
    },
  );
});

Deno.test("publishRun() keeps the records and no path, user or host name", async () => {
  await withRun(SMALL, async (directory, records) => {
    const target = `${directory}/published`;
    const published = await publishRun(directory, target);
    for (
      const name of [
        "checks.json",
        "environment.json",
        "experiment.yaml",
        "results.jsonl",
        "summary.md",
      ]
    ) assert(published.files.includes(name), name);
    assertEquals(
      published.files.some((file) => file.endsWith(".svg")),
      published.note === undefined,
    );
    for (const file of published.files) {
      const text = await Deno.readTextFile(`${target}/${file}`);
      assertEquals(/sample-host|\/home\/|someone/.test(text), false, file);
    }
    const again = await loadRuns([target]);
    assertEquals(again.cells, records);
  });
});

Deno.test("publish() wants exactly one run folder", async () => {
  await assertRejects(() => publish([]), InputError, "0 run folders");
  await assertRejects(() => publish(["a", "b"]), InputError, "2 run folders");
});

Deno.test("updateReadme() replaces what is between the markers, twice the same", () => {
  const readme =
    "# A\n<!-- results:begin -->\nold\n<!-- results:end -->\nrest\n";
  const updated = updateReadme(readme, "new");
  assertEquals(
    updated,
    "# A\n<!-- results:begin -->\n<!-- deno-fmt-ignore-start -->\n\nnew\n\n<!-- deno-fmt-ignore-end -->\n<!-- results:end -->\nrest\n",
  );
  assertEquals(updateReadme(updated, "new"), updated);
  assertEquals(
    updateReadme(updated, ""),
    "# A\n<!-- results:begin -->\n<!-- results:end -->\nrest\n",
  );
  assertThrows(() => updateReadme("# A\n", "new"), InputError, "results:begin");
});

Deno.test("renderReadmeSection() shows quickstart and official-parity, and links the others", async () => {
  await withRun(SMALL, async (directory) => {
    const root = `${directory}/published`;
    const section = async () =>
      renderReadmeSection(await loadPublished(root, "results/published"));
    assertEquals(await section(), "");
    await publishRun(directory, `${root}/other`);
    assertMatch(
      await section(),
      /^- \[other\]\(results\/published\/other\/summary.md\): [^\n]+$/,
    );
    await publishRun(directory, `${root}/quickstart`);
    const withMain = await section();
    assertStringIncludes(withMain, "| transmla F4 m32 r128 bkv | 160 |");
    assertStringIncludes(withMain, "(results/published/quickstart/summary.md)");
    assertEquals(
      withMain.includes("quickstart/figures/perplexity-by-cache.svg"),
      (await loadPublished(root))[1]!.figures.length > 0,
    );
    await publishRun(directory, `${root}/official-parity`);
    const [check] = (await loadRuns([directory])).checks;
    const columns = async () =>
      (await section()).split("\n").find((line) =>
        line.startsWith("| Variant | ") && line.includes("| difference |")
      )!.split("|").length - 2;
    assertStringIncludes(await section(), `| ${check!.variantLabel}`);
    assertEquals(await columns(), 4);
    await publishRun(directory, `${root}/official-parity-h100`);
    assertEquals(await columns(), 5);
    assertEquals((await section()).match(/^- /gm)?.length, 1);
    // Figures of the whole split come before those of a quick start.
    await publishRun(directory, `${root}/rank-ablation`);
    const whole = await section();
    assertStringIncludes(
      whole,
      "Everything: [rank-ablation](results/published/rank-ablation/",
    );
    assertEquals(whole.includes("Everything: [quickstart]"), false);
    assertMatch(whole, /^- \[quickstart\]/m);
  });
});

Deno.test("publishRun() keeps the times by stage, and the summary says them", async () => {
  await withRun(SMALL, async (directory, records) => {
    const [first] = records;
    const path = `${directory}/cells/${first!.cell}.json`;
    const plain = await publishRun(directory, `${directory}/plain`);
    assertEquals(plain.files.includes("stages.json"), false);
    await Deno.writeTextFile(
      path,
      JSON.stringify({
        ...first,
        startSeconds: 1,
        stageSeconds: { opening: first!.wallSeconds / 4 },
      }),
    );
    const target = `${directory}/timed`;
    const timed = await publishRun(directory, target);
    assert(timed.files.includes("stages.json"));
    const { totalSeconds, stages } = JSON.parse(
      await Deno.readTextFile(`${target}/stages.json`),
    );
    assertAlmostEquals(
      totalSeconds,
      1 + records.reduce((sum, { wallSeconds }) => sum + wallSeconds, 0),
      1e-9,
    );
    assertAlmostEquals(
      stages.find(({ stage }: { stage: string }) => stage === "opening")
        .seconds,
      1 + first!.wallSeconds / 4,
      1e-9,
    );
    const summary = await Deno.readTextFile(`${target}/summary.md`);
    assertMatch(summary, /^- Time of the cells: .+ opening \d/m);
    const page = await renderPage(await loadRuns([directory]));
    assertMatch(page, /<p>Time of the cells: .+ opening \d/);
    // Published again, it says the same.
    const again = await publishRun(target, `${directory}/again`);
    assertEquals(
      await Deno.readTextFile(`${again.directory}/stages.json`),
      await Deno.readTextFile(`${target}/stages.json`),
    );
  });
});

Deno.test("publishRun() refuses an incomplete run and replaces a publication whole", async () => {
  await withRun(LARGE, async (directory) => {
    const target = `${directory}/published/large`;
    const { missing, cells } = await loadRuns([directory]);
    await assertRejects(
      () => publishRun(directory, target),
      InputError,
      `${missing.length} of ${missing.length + cells.length} cells`,
    );
    assertEquals(await exists(target), false);
    await Deno.mkdir(`${target}/figures`, { recursive: true });
    await Deno.writeTextFile(`${target}/figures/old.svg`, "");
    await publishRun(directory, target, { partial: true });
    assertEquals(await exists(`${target}/figures/old.svg`), false);
    assertStringIncludes(
      await Deno.readTextFile(`${target}/summary.md`),
      "**Partial: 1 of",
    );
    // Whoever renders the publication again says so, too.
    const published = await loadRuns([target]);
    assertEquals(published.missing, missing);
    assertStringIncludes(renderSummary(published), "**Partial: 1 of");
    const [problem] = (await auditRun(target)).problems;
    assertStringIncludes(problem!, "plan.json: 1 of");
    const beside = await Array.fromAsync(
      Deno.readDir(`${directory}/published`),
    );
    assertEquals(beside.map(({ name }) => name), ["large"]);
    await assertRejects(
      () => publishRun(directory, directory, { partial: true }),
      InputError,
      "no part of a publication",
    );
  });
});

Deno.test({
  name: "deno task publish has the permissions to draw figures",
  ignore: requirement("browser").ignore,
  async fn() {
    await withRun(SMALL, async (directory) => {
      const [, ...args] = deno.tasks.publish.command.split(" ");
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [...args, directory, "--out", `${directory}/published`],
        stdin: "null",
      }).output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      assert(await exists(`${directory}/published/figures`));
    });
  },
});

Deno.test("readme() refuses arguments", async () => {
  await assertRejects(() => readme(["README.md"]), InputError, "no arguments");
});

Deno.test({
  name: "README.md shows what results/published holds",
  ignore: !await exists("results/published"),
  async fn() {
    const readme = await Deno.readTextFile("README.md");
    const section = renderReadmeSection(
      await loadPublished("results/published"),
    );
    assertEquals(
      readme === updateReadme(readme, section),
      true,
      "out of date: deno task readme writes it",
    );
  },
});

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
