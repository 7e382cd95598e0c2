// The experiment verb as a user meets it: exit codes, streams, Ctrl-C.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { decodedLines } from "../src/experiment/lines.ts";
import {
  experimentCommand,
  isGoneWithin,
  runExperiment,
  withTinyFile,
} from "./fixtures/experiment_process.ts";
import { type TinyRun, tinyYaml } from "./fixtures/tiny_run.ts";

const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);

function experiment(tiny: TinyRun, ...args: string[]) {
  return runExperiment(tiny, args);
}

Deno.test("experiment prints a plan, then figures on stdout and progress on stderr, exit 0", async () => {
  await withTinyFile(tinyYaml, async (tiny, file) => {
    const dry = await experiment(tiny, file, "--dry-run", "--out", tiny.out);
    assertEquals(dry.code, 0, dry.stderr);
    assertStringIncludes(dry.stdout, "14 cells, 0 present");
    assertStringIncludes(dry.stdout, "Estimates, not measurements");
    assertMatch(dry.stdout, /[0-9a-f]{16} {2}transmla F2 m16 r24 bkv/);

    const run = await experiment(tiny, file, "--out", tiny.out);
    assertEquals(run.code, 0, run.stderr);
    assertStringIncludes(run.stdout, "14 ok");
    assertMatch(
      run.stdout,
      /transmla F1 m16 r24 bkv +64 +40 +640 +−37\.5\u00a0% +\d+\.\d ± \d+\.\d +[+−]0\.\d{3} \[/,
    );
    assertStringIncludes(run.stdout, join(tiny.out, "report.html"));
    assert(!run.stdout.includes("[1/14]"));
    assertStringIncludes(run.stderr, "[14/14] ok");
    for (const name of ["summary.md", "report.html", "results.csv"]) {
      assert((await Deno.stat(join(tiny.out, name))).size > 0);
    }

    const again = await experiment(tiny, file, "--out", tiny.out, "--quiet");
    assertEquals([again.code, again.stderr], [0, ""]);
    const present = await experiment(
      tiny,
      file,
      "--dry-run",
      "--out",
      tiny.out,
    );
    assertStringIncludes(present.stdout, "14 cells, 14 present");
  });
});

Deno.test("experiment logs JSON lines and exits 1 when a cell failed", async () => {
  await withTinyFile(
    (tiny) =>
      tinyYaml(tiny, {
        variants: "[{ method: original }]",
        measure: `{ contexts: [256], perplexity: { text: "${tiny.test}" } }`,
      }),
    async (tiny, file) => {
      const run = await experiment(
        tiny,
        file,
        "--out",
        tiny.out,
        "--log-format",
        "json",
      );
      assertEquals(run.code, 1);
      const events = run.stderr.trimEnd().split("\n").map((line) =>
        JSON.parse(line)
      );
      assert(
        events.some(({ type, record }) =>
          type === "cellEnd" && record.status === "failed"
        ),
      );
      assertStringIncludes(run.stdout, "1 failed");
    },
    20,
  );
});

Deno.test("experiment exits 2 on bad input, in one line without a stack", async () => {
  await withTinyFile(
    (tiny) => tinyYaml(tiny).replace("cache: {}", "cash: {}"),
    async (tiny, file) => {
      const typo = await experiment(tiny, file);
      assertEquals(typo.code, 2);
      assertMatch(
        typo.stderr,
        /^error: .*tiny\.yaml:\d+:3: unknown key "cash"/,
      );
      assertEquals(typo.stderr.trimEnd().split("\n").length, 1);
      for (
        const [args, message] of [
          [[join(tiny.folder, "nothing.yaml")], "Cannot find experiment"],
          [["quickstrat"], 'did you mean "quickstart"'],
          [["--frobnicate"], "unknown option --frobnicate"],
          [["--dry-run=yes"], "--dry-run takes no value: found yes"],
          [
            ["--dtype", "f8"],
            '--set engine.dtype=f8: engine.dtype: found "f8"',
          ],
          [["worked-example", "--only", "palu*"], "matches no variant"],
          [["worked-example", "--shard", "3/2"], "1 <= i <= n"],
          [["worked-example", "--set", "model=nowhere"], "Cannot open model"],
        ] as const
      ) {
        const { code, stderr } = await experiment(tiny, ...args);
        assertEquals(code, 2, stderr);
        assertStringIncludes(stderr, message);
        assert(!stderr.includes("    at "));
      }
    },
  );
});

Deno.test("Ctrl-C ends the run within 2 seconds with 130 and the command that goes on", async () => {
  await withTinyFile(
    (tiny) =>
      tinyYaml(tiny, {
        variants: "[{ method: original }]",
        measure: `
  perplexity: { text: "${tiny.test}", contexts: [32, 64] }`,
      }),
    async (tiny, file) => {
      const child = experimentCommand(tiny, [
        file,
        "--out",
        tiny.out,
        "--log-format",
        "json",
      ]).spawn();
      let pid = 0;
      let interruptedAt = 0;
      const said: string[] = [];
      for await (const line of decodedLines(child.stderr)) {
        said.push(line);
        if (line.includes('"type":"worker"')) pid = JSON.parse(line).pid;
        if (interruptedAt === 0 && line.includes('"stage":"perplexity"')) {
          interruptedAt = performance.now();
          child.kill("SIGINT");
        }
      }
      const { code } = await child.status;
      const seconds = (performance.now() - interruptedAt) / 1000;
      await child.stdout.cancel();
      assertEquals(code, 130);
      assert(seconds < 2, `took ${seconds} s`);
      assertStringIncludes(
        said.join("\n"),
        `go on with: deno task experiment ${file} --out ${tiny.out} --log-format json --resume`,
      );
      // The engine process is gone too.
      assert(pid > 0);
      assert(await isGoneWithin(pid, 1));
      // Nothing half-written: the cell is missing, not damaged.
      assertEquals([...Deno.readDirSync(join(tiny.out, "cells"))], []);
    },
    20_000,
  );
});

async function verb(name: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", name, ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

Deno.test("validate accepts every experiment of the repository and exits 2 on a bad one", async () => {
  const all = await verb("validate");
  assertEquals(all.code, 0, all.stderr);
  assertMatch(all.stdout, /experiments\/quickstart\.yaml: good, \d+ variants/);
  const bad = await verb(
    "validate",
    "quickstart",
    "--set",
    "engine.name=cuda",
  );
  assertEquals(bad.code, 2);
  assertStringIncludes(
    bad.stderr,
    '--set engine.name=cuda: engine.name: found "cuda"; allowed: reference, onnx',
  );
});

Deno.test("list names methods with their options, models, texts and experiments", async () => {
  const all = await verb("list");
  assertEquals(all.code, 0, all.stderr);
  for (
    const word of [
      "transmla: ",
      "kvLoraRank",
      "synthetic:worked-example",
      "random weights, 0.1 M",
      "wikitext-2/test",
      "official-parity",
    ]
  ) assertStringIncludes(all.stdout, word);
  const wrong = await verb("list", "figures");
  assertEquals(wrong.code, 2);
  assertStringIncludes(wrong.stderr, "allowed: methods, models, texts");
});
