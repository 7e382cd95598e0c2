// The compare verb as a user meets it, on runs with invented numbers.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { SMALL, withSampleRun } from "./fixtures/sample_run.ts";
import { runVerbTask } from "./fixtures/verb_child.ts";

Deno.test("compare shows pairs, differences and what is not like for like, exit 0", async () => {
  await withSampleRun(SMALL, async (a) => {
    await withSampleRun(SMALL, async (b) => {
      await otherMachine(b);
      const { code, stdout, stderr } = await runVerbTask("compare", [a, b]);
      assertEquals([code, stderr], [0, ""]);
      assertMatch(
        stdout,
        /^original +512 +[\d.]+ +[\d.]+ +0\.00.% +0\.000000 \[/m,
      );
      assertMatch(
        stdout,
        /not like for like, \d+ of \d+ throughput pairs: machines: Sample CPU, 4 cores, Other CPU, 4 cores/,
      );
      assertMatch(stdout, /^cpu\.model +Sample CPU +Other CPU$/m);
      assertMatch(stdout, /only in A: 0 cells, only in B: 0$/m);
    });
  });
});

Deno.test("compare reads results.jsonl and writes Markdown, JSON and CSV", async () => {
  await withSampleRun(SMALL, async (run, records) => {
    const args = [run, join(run, "results.jsonl"), "--format"];
    const md = await runVerbTask("compare", [...args, "md"]);
    assertEquals(md.code, 0, md.stderr);
    assertStringIncludes(md.stdout, "\n| Variant | context | perplexity: A |");
    const json = await runVerbTask("compare", [...args, "json"]);
    const { pairs, violations } = JSON.parse(json.stdout);
    assertEquals([pairs.length, violations], [records.length, []]);
    const csv = await runVerbTask("compare", [...args, "csv"]);
    assert(
      csv.stdout.startsWith("variantLabel,measure,contextTokens,metric,a,b,"),
    );
  });
});

Deno.test("compare --fail-over exits 1 where the second run is worse, 0 where the first is", async () => {
  await withSampleRun(SMALL, async (a) => {
    await withSampleRun(SMALL, async (b) => {
      await slowDown(b);
      const worse = await runVerbTask("compare", [
        a,
        b,
        "--fail-over",
        "throughput=5%",
      ]);
      assertEquals(worse.code, 1);
      assertMatch(
        worse.stderr,
        /^failed: original at 512: throughput\.decodeTokensPerSecond is worse by 10 %: allowed 5 %$/m,
      );
      for (
        const args of [
          [a, b, "--fail-over", "throughput=11%"],
          [b, a, "--fail-over", "throughput=5%"],
        ]
      ) {
        const { code, stderr } = await runVerbTask("compare", args);
        assertEquals([code, stderr], [0, ""]);
      }
    });
  });
});

Deno.test("compare finds published runs by name, and a run in the only folder of a path", async () => {
  const published = await runVerbTask("compare", [
    "quickstart",
    "results/published/quickstart/results.jsonl",
  ]);
  assertEquals(published.code, 0, published.stderr);
  assertMatch(published.stdout, /^A {2}results.published.quickstart$/m);
  await withSampleRun(SMALL, async (run) => {
    const above = await Deno.makeTempDir({ prefix: "compare-" });
    try {
      await Deno.rename(run, join(above, "one"));
      const only = await runVerbTask("compare", [above, join(above, "one")]);
      assertEquals(only.code, 0, only.stderr);
      await Deno.mkdir(join(above, "two", "cells"), { recursive: true });
      const several = await runVerbTask("compare", [above, above]);
      assertEquals(several.code, 2);
      assertMatch(several.stderr, /holds 2 runs: name one of one, two$/m);
      await Deno.rename(join(above, "one"), run);
    } finally {
      await Deno.remove(above, { recursive: true });
    }
  });
});

Deno.test("compare refuses in one line, exit 2", async () => {
  await withSampleRun(SMALL, async (run) => {
    for (
      const [args, message] of [
        [[run], /two runs must be given, found 1/],
        [[run, join(run, "nothing")], /Cannot find run .*nothing; allowed/],
        [[run, join(run, "cells")], /Cannot read run folder .* none found/],
        [
          [run, run, "--format", "xml"],
          /--format: found xml; allowed: table, md/,
        ],
        [[run, run, "--fail-over", "speed=1"], /--fail-over: found speed=1/],
        [[run, run, "--fail-over", "divergence=1"], /no cell of both runs/],
      ] as const
    ) {
      const { code, stdout, stderr } = await runVerbTask("compare", args);
      assertEquals([code, stdout], [2, ""], stderr);
      assertMatch(stderr, message);
      assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    }
  });
});

async function otherMachine(run: string): Promise<void> {
  const path = join(run, "environment.json");
  const environment = JSON.parse(await Deno.readTextFile(path));
  environment.cpu.model = "Other CPU";
  await Deno.writeTextFile(path, JSON.stringify(environment));
}

/** Decoding a tenth slower. */
async function slowDown(run: string): Promise<void> {
  for await (const { name } of Deno.readDir(join(run, "cells"))) {
    const path = join(run, "cells", name);
    const record = JSON.parse(await Deno.readTextFile(path));
    if (record.measure !== "throughput") continue;
    record.metrics.decodeTokensPerSecond *= 0.9;
    await Deno.writeTextFile(path, JSON.stringify(record));
  }
}
