// How a sweep ends when it is told to: Ctrl-C twice, a scheduler's SIGTERM, a
// terminal that closes, an engine process that is ended alone.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { decodedLines } from "../src/experiment/lines.ts";
import {
  experimentCommand,
  isGoneWithin,
  runExperiment,
  withTinyFile,
} from "./fixtures/experiment_process.ts";
import { assertClean } from "./fixtures/sweep_results.ts";
import { type TinyRun, tinyYaml } from "./fixtures/tiny_run.ts";

/** One short cell, then a long one. */
function yaml(tiny: TinyRun): string {
  return tinyYaml(tiny, {
    variants: "[{ method: original }]",
    measure: `
  perplexity: { text: "${tiny.test}", contexts: [64] }
  cache: { contexts: [32] }`,
  });
}

interface Ended {
  readonly code: number;
  readonly signal: string | null;
  readonly stderr: string;
  readonly engine: number;
  /** From the first signal to the end. */
  readonly seconds: number;
}

/** Runs until the long cell is under way, then sends signals. */
async function ended(
  tiny: TinyRun,
  file: string,
  send: (pid: number, engine: number) => void,
): Promise<Ended> {
  const child = experimentCommand(
    tiny,
    [file, "--out", tiny.out, "--log-format", "json"],
    { detached: true },
  ).spawn();
  let engine = 0;
  let sent = 0;
  const said: string[] = [];
  for await (const line of decodedLines(child.stderr)) {
    said.push(line);
    if (line.includes('"type":"worker"')) engine = JSON.parse(line).pid;
    if (sent === 0 && line.includes('"stage":"perplexity"')) {
      sent = performance.now();
      send(child.pid, engine);
    }
  }
  const { code, signal } = await child.status;
  await child.stdout.cancel();
  return {
    code,
    signal,
    stderr: said.join("\n"),
    engine,
    seconds: (performance.now() - sent) / 1000,
  };
}

const WORDS = 60_000;

Deno.test("SIGTERM ends a sweep as Ctrl-C does; a second signal ends it at once", async () => {
  await withTinyFile(yaml, async (tiny, file) => {
    for (
      const signals of [
        ["SIGTERM"],
        ["SIGTERM", "SIGTERM"],
        ["SIGINT", "SIGINT"],
      ] as const
    ) {
      const { code, stderr, engine, seconds } = await ended(
        tiny,
        file,
        (pid) => {
          for (const signal of signals) Deno.kill(pid, signal);
        },
      );
      assertEquals(code, 130, stderr);
      assert(seconds < 2, `took ${seconds} s`);
      assert(await isGoneWithin(engine, 1));
      assertStringIncludes(stderr, "go on with: deno task experiment");
      assertEquals([...Deno.readDirSync(join(tiny.out, "cells"))], []);
    }
  }, WORDS);
});

Deno.test("a whole process group that is ended, as by Slurm, says how to go on", async () => {
  await withTinyFile(yaml, async (tiny, file) => {
    const { code, stderr, engine } = await ended(
      tiny,
      file,
      (pid) => Deno.kill(-pid, "SIGTERM"),
    );
    assertEquals(code, 130, stderr);
    assertStringIncludes(stderr, "go on with: deno task experiment");
    assert(await isGoneWithin(engine, 1));
  }, WORDS);
});

Deno.test("an engine process that is ended alone interrupts the sweep, which says how to go on", async () => {
  await withTinyFile(yaml, async (tiny, file) => {
    const { code, stderr } = await ended(
      tiny,
      file,
      (_, engine) => Deno.kill(engine, "SIGTERM"),
    );
    assertEquals(code, 130, stderr);
    assertStringIncludes(stderr, "go on with: deno task experiment");
  }, WORDS);
});

Deno.test("a terminal that closes ends a sweep, and nothing stays behind", async () => {
  await withTinyFile(yaml, async (tiny, file) => {
    const { signal, engine, stderr } = await ended(
      tiny,
      file,
      (pid) => Deno.kill(pid, "SIGHUP"),
    );
    assertEquals(signal, "SIGHUP", stderr);
    assert(await isGoneWithin(engine, 2));
    await Deno.writeTextFile(join(tiny.folder, "test.txt"), "word ".repeat(80));
    const again = await runExperiment(tiny, [file, "--out", tiny.out]);
    assertEquals(again.code, 0, again.stderr);
    assertClean(tiny.out);
  }, WORDS);
});
