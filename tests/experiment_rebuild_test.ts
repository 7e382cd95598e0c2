// What a run finds damaged is made again, and said without being asked.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { runExperiment, withTinyFile } from "./fixtures/experiment_process.ts";
import { assertClean, resultsOf } from "./fixtures/sweep_results.ts";
import { type TinyRun, tinyYaml } from "./fixtures/tiny_run.ts";

/** The only entry of the moments cache. */
function momentsEntry(tiny: TinyRun): string {
  const folder = join(tiny.folder, "cache", "moments");
  const entries = [...Deno.readDirSync(folder)].map(({ name }) => name);
  assertEquals(entries.length, 1);
  return join(folder, entries[0]!);
}

async function flipByte(path: string): Promise<void> {
  const bytes = await Deno.readFile(path);
  bytes[bytes.length - 20]! ^= 1;
  await Deno.writeFile(path, bytes);
}

async function cut(path: string): Promise<void> {
  await Deno.truncate(path, (await Deno.stat(path)).size - 20);
}

Deno.test("a run names the file that it finds damaged, makes it again and comes to the same results", async () => {
  await withTinyFile(tinyYaml, async (tiny, file) => {
    const run = () => runExperiment(tiny, [file, "--out", tiny.out]);
    const first = await run();
    assertEquals(first.code, 0, first.stderr);
    const expected = await resultsOf(tiny.out);
    const cells = () =>
      [...Deno.readDirSync(join(tiny.out, "cells"))]
        .map(({ name }) => join(tiny.out, "cells", name)).sort();
    const moments = join(momentsEntry(tiny), "layer-001.moments");
    const whole = await Deno.readFile(moments);

    for (
      const [path, damage, says] of [
        [cells()[3]!, cut, "measuring again"],
        [join(tiny.out, "plan.json"), cut, "written again"],
        [moments, flipByte, "calibrating again"],
        [moments, cut, "calibrating again"],
      ] as const
    ) {
      await damage(path);
      // Moments are read only where a conversion is measured.
      if (path === moments) {
        for (const cell of cells()) await Deno.remove(cell);
      }
      const { code, stderr } = await run();
      assertEquals(code, 0, stderr);
      const line = stderr.split("\n").find((line) => line.includes(path));
      assert(line !== undefined, `${path} is not named:\n${stderr}`);
      assertStringIncludes(line, says);
      assertEquals(await resultsOf(tiny.out), expected);
    }
    assertEquals(await Deno.readFile(moments), whole);
    assertEquals(
      JSON.parse(await Deno.readTextFile(join(tiny.out, "plan.json"))).length,
      expected.length,
    );
    assertClean(tiny.out);
    // Derived files need no word: they are always made of the cells.
    await cut(join(tiny.out, "results.jsonl"));
    assertEquals((await run()).code, 0);
    assertEquals(await resultsOf(tiny.out), expected);
  });
});
