import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { requirement } from "./fixtures/requirements.ts";
import { writeTinyFolder } from "./fixtures/tiny_folder.ts";
import { runVerbTask } from "./fixtures/verb_child.ts";
import { vulkanDriverEnv } from "./fixtures/vulkan_drivers.ts";
import { decodedLines } from "../src/experiment/lines.ts";
import type { DecodeReport } from "../bench/peers/decode/report.ts";

const gpu = requirement("deno-gpu").ignore;

/** An interpreter with torch and transformers: its tests are there where it is named. */
const python = Deno.env.get("TRANSMLA_PYTHON");

const TINY = [
  ...["decode", "--model", "synthetic:tiny", "--provider", "deno"],
  ...["--kv-lora-rank", "32", "--qk-rope-head-dim", "8", "--software"],
  ...["--steps", "4", "--repetitions", "2", "--no-check"],
];

async function decode(
  args: readonly string[],
): Promise<{ report: DecodeReport; code: number; stdout: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const out = join(folder, "decode.json");
    const { code, stdout, stderr } = await runVerbTask("bench", [
      ...TINY,
      ...args,
      "--out",
      out,
    ], vulkanDriverEnv("deno"));
    assert(code !== 2, stderr);
    return { report: JSON.parse(await Deno.readTextFile(out)), code, stdout };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "bench decode times our steps around each context, by kernel too",
  ignore: gpu,
  async fn() {
    const { report, code, stdout } = await decode([
      ...["--ours-only", "--profile", "--prefill"],
      ...["--cases", "original:1x64,mla:2x64"],
    ]);
    assertEquals(code, 0, stdout);
    const [side] = report.sides;
    const cases = side!.events.filter((event) => event.event === "ourCase");
    assertEquals(cases.map((event) => event.case.batch), [1, 2]);
    for (const { firstContext, lastContext, steps, seconds } of cases) {
      // Two repetitions of four steps, half of them before the context.
      assertEquals([firstContext, lastContext, steps], [60, 68, 4]);
      assert(seconds > 0);
    }
    assertEquals(report.rows.map((row) => Object.keys(row.speeds)), [
      ["deno"],
      ["deno"],
    ]);
    assertStringIncludes(stdout, "linear layers over 2048 tokens");
  },
});

Deno.test({
  name: "bench decode that is interrupted leaves no folder and no process",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const slow = join(folder, "python");
      const late = join(folder, "late");
      await Deno.writeTextFile(slow, `#!/bin/sh\nsleep 3\necho > ${late}\n`);
      await Deno.chmod(slow, 0o755);
      const temporary = join(folder, "tmp");
      await Deno.mkdir(temporary);
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "--quiet", "--no-check", "-A", "bench/bench.ts", ...TINY],
          ...["--cases", "original:1x64", "--peer-only", "--python", slow],
        ],
        env: { TMPDIR: temporary },
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).spawn();
      const lines = decodedLines(child.stderr);
      assertEquals((await lines.next()).value, "torch:");
      // Its process is about to start.
      await new Promise((done) => setTimeout(done, 500));
      child.kill("SIGINT");
      assertStringIncludes((await lines.next()).value!, "interrupted");
      assertEquals((await child.status).code, 130);
      await lines.return(undefined);
      const left = await Array.fromAsync(Deno.readDir(temporary));
      assertEquals(left.map(({ name }) => name), []);
      await new Promise((done) => setTimeout(done, 3500));
      await assertRejects(() => Deno.stat(late), Deno.errors.NotFound);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

if (python !== undefined) {
  Deno.test({
    name: "bench decode runs torch's steps and goes on where a form cannot",
    async fn() {
      const { report, code, stdout } = await decode([
        ...["--peer-only", "--peer-device", "cpu", "--python", python],
        ...["--cases", "original:2x24,mla:3x24", "--prefill"],
      ]);
      assertEquals(code, 0, stdout);
      const events = report.sides[0]!.events;
      const cases = events.filter((event) => event.event === "peerCase");
      assertEquals(
        cases.map(({ forms }) => forms.map(({ form }) => form)),
        [["sdpa", "two matmuls"], ["two matmuls", "triton"]],
      );
      for (const { forms } of cases) {
        for (const form of forms) {
          if ("error" in form) continue;
          assert(form.relativeError < 1e-5, `${form.relativeError}`);
          assert(form.steps >= 20);
        }
      }
      const prefill = events.find((event) => event.event === "prefill");
      assertEquals(Object.keys(prefill!.products), [
        "project 128x64",
        "output 64x64",
        "gate_up 256x64",
        "down 64x128",
      ]);
    },
  });

  Deno.test({
    name: "bench decode scores the text that transformers scores, alike",
    ignore: gpu || requirement("wikitext-2").ignore,
    async fn() {
      const folder = await Deno.makeTempDir();
      try {
        const model = join(folder, "tiny");
        await writeTinyFolder(model, "llama");
        const { report, code, stdout } = await decode([
          ...["--cases", "original:1x64", "--dtype", "f32"],
          ...["--peer-device", "cpu", "--python", python],
          ...["--score", "--score-model", model, "--score-windows", "2"],
        ]);
        assertEquals(code, 0, stdout);
        const scores = report.sides.flatMap(({ side, events }) =>
          events.filter((event) => event.event === "score")
            .map((event) => ({ side, ...event }))
        );
        assertEquals(scores.map(({ side }) => side), ["transformers", "deno"]);
        const [theirs, own] = scores;
        assertEquals([theirs!.windows, own!.windows], [2, 2]);
        const expected = theirs!.batches[0]!.perplexity;
        for (const { perplexity } of [...theirs!.batches, ...own!.batches]) {
          assertAlmostEquals(perplexity / expected, 1, 1e-4);
        }
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}
