// What leaves a run for a repository: published folders and the README's results.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { publish } from "../src/cli/publish.ts";
import {
  loadPublished,
  loadRuns,
  publishRun,
  renderReadmeSection,
  updateReadme,
} from "../src/report/mod.ts";
import { scrub, scrubText } from "../src/report/scrub.ts";
import { SMALL, withSampleRun as withRun } from "./fixtures/sample_run.ts";

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
    "# A\n<!-- results:begin -->\n\nnew\n\n<!-- results:end -->\nrest\n",
  );
  assertEquals(updateReadme(updated, "new"), updated);
  assertThrows(() => updateReadme("# A\n", "new"), InputError, "results:begin");
});

Deno.test("renderReadmeSection() gives each published experiment a table and its summary", async () => {
  await withRun(SMALL, async (directory) => {
    await publishRun(directory, `${directory}/published/one`);
    const published = await loadPublished(
      `${directory}/published`,
      "results/published",
    );
    const section = renderReadmeSection(published);
    assertStringIncludes(section, "### sample");
    assertStringIncludes(section, "| transmla F4 m32 r128 bkv | 160 |");
    assertStringIncludes(section, "(results/published/one/summary.md)");
    assertEquals(
      section.includes("figures/perplexity-by-cache.svg"),
      published[0]!.figures.length > 0,
    );
  });
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
