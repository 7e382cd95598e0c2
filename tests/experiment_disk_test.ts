// Disks that are full or may not be written: one line, and nothing lost.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { DiskFullError } from "../src/base/errors.ts";
import { namingPath } from "../src/experiment/run_folder.ts";
import { runExperiment, withTinyFile } from "./fixtures/experiment_process.ts";
import { requirement } from "./fixtures/requirements.ts";
import { assertClean, resultsOf, sweepYaml } from "./fixtures/sweep_results.ts";
import { onTmpfs } from "./fixtures/tmpfs.ts";
import { tinyYaml } from "./fixtures/tiny_run.ts";

const { ignore } = requirement("tmpfs");

Deno.test({
  name:
    "a full disk ends a sweep with one line and exit 1; with space it goes on to the same results",
  ignore,
  async fn() {
    await withTinyFile(sweepYaml, async (tiny, file) => {
      const whole = await runExperiment(tiny, [file, "--out", tiny.out]);
      assertEquals(whole.code, 0, whole.stderr);
      const expected = await resultsOf(tiny.out);
      // Full at once, after some cells, at the results.
      for (const size of ["8k", "64k", "152k"]) {
        const disk = join(tiny.folder, `disk-${size}`);
        const kept = join(tiny.folder, `kept-${size}`);
        await Deno.mkdir(disk);
        const run = await runExperiment(
          tiny,
          [file, "--out", join(disk, "run"), "--quiet"],
          {
            prefix: onTmpfs(
              disk,
              `size=${size}`,
              `"$@"; echo "exit $?"
               ls "$0/run/cells" | wc -l
               mount -o remount,size=16m "$0"
               "$@" > /dev/null; echo "exit $?"
               cp -r "$0/run" "${kept}"`,
            ),
          },
        );
        const lines = run.stderr.trimEnd().split("\n");
        assertEquals(lines.length, 1, run.stderr);
        assertMatch(
          lines[0]!,
          /^error: Cannot write \/\S+\/run\/\S+: No space left on device \(os error 28\); nothing that was measured is lost: free space there, then go on with: deno task experiment \S+ --out \S+ --quiet --resume$/,
        );
        const [first, cells, second] = run.stdout.trimEnd().split("\n");
        assertEquals([first, second], ["exit 1", "exit 0"], run.stdout);
        if (size === "64k") {
          assert(Number(cells) > 1 && Number(cells) < 34, `${cells} cells`);
        }
        assertEquals(await resultsOf(kept), expected);
        assertClean(kept);
      }
    });
  },
});

Deno.test({
  name:
    "a read-only folder is named in one line, exit 2; a cache that cannot be written costs only time",
  ignore,
  async fn() {
    await withTinyFile(tinyYaml, async (tiny, file) => {
      const disk = join(tiny.folder, "disk");
      await Deno.mkdir(disk);
      const prefix = onTmpfs(disk, "ro");
      const refused = await runExperiment(
        tiny,
        [file, "--out", join(disk, "run")],
        { prefix },
      );
      assertEquals(refused.code, 2);
      assertEquals(
        refused.stderr,
        `error: Cannot write ${
          join(disk, "run/cells")
        }: Read-only file system (os error 30)\n`,
      );
      for (const options of ["ro", "size=8k"]) {
        const out = join(tiny.folder, options);
        const run = await runExperiment(tiny, [file, "--out", out], {
          prefix: onTmpfs(disk, options),
          env: { TRANSMLA_CACHE: join(disk, "cache") },
        });
        assertEquals(run.code, 0, run.stderr);
        assertMatch(
          run.stderr,
          /^Cannot keep moments in \S+: (Read-only file system|No space left on device) \(os error \d+\); they stay in memory$/m,
        );
        assertStringIncludes(run.stdout, "14 ok");
      }
    });
  },
});

Deno.test("a cache folder that is a file costs only time, and is named", async () => {
  await withTinyFile(tinyYaml, async (tiny, file) => {
    const cache = join(tiny.folder, "a-file");
    await Deno.writeTextFile(cache, "mine");
    const run = await runExperiment(tiny, [file, "--out", tiny.out], {
      env: { TRANSMLA_CACHE: cache },
    });
    assertEquals(run.code, 0, run.stderr);
    assertStringIncludes(run.stderr, `Cannot keep moments in ${cache}`);
    assertEquals(await Deno.readTextFile(cache), "mine");
  });
});

Deno.test("namingPath() tells a disk without space from a path that may not be written", async () => {
  for (
    const reason of [
      "No space left on device (os error 28)",
      "Disk quota exceeded (os error 122)",
    ]
  ) {
    try {
      await namingPath(
        "write",
        "/a/b",
        () => Promise.reject(new Error(reason)),
      );
      throw new Error("nothing was thrown");
    } catch (error) {
      assert(error instanceof DiskFullError, String(error));
      assertStringIncludes(error.message, `Cannot write /a/b: ${reason};`);
    }
  }
});
