// A sweep that is killed at random moments comes to what an undisturbed one does.

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { decodedLines } from "../src/experiment/lines.ts";
import {
  experimentCommand,
  isGoneWithin,
  withTinyFile,
} from "./fixtures/experiment_process.ts";
import {
  assertClean,
  readWholeFiles,
  resultsOf,
  sweepYaml,
} from "./fixtures/sweep_results.ts";
import { uniforms } from "./fixtures/tiny_models.ts";
import { type TinyRun, tinyYaml } from "./fixtures/tiny_run.ts";

const KILLS = 20;

/** Who gets the SIGKILL: a scheduler's goes to the group, the system's to one process. */
type Victim = "process" | "group";

/** What came of one start. */
interface Attempt {
  readonly killed: boolean;
  readonly code: number;
  readonly stderr: string;
  /** From the start. */
  readonly seconds: number;
  readonly firstCellSeconds: number;
  readonly engines: readonly number[];
}

async function attempt(
  tiny: TinyRun,
  file: string,
  out: string,
  kill?: { readonly victim: Victim; readonly afterSeconds: number },
): Promise<Attempt> {
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  const child = experimentCommand(
    tiny,
    [file, "--out", out, "--log-format", "json"],
    { detached: true },
  ).spawn();
  let killed = false;
  const timer = kill && setTimeout(() => {
    killed = true;
    // A negative id is the group's.
    Deno.kill(kill.victim === "group" ? -child.pid : child.pid, "SIGKILL");
  }, kill.afterSeconds * 1000);
  const engines: number[] = [];
  const said: string[] = [];
  let firstCellSeconds = 0;
  for await (const line of decodedLines(child.stderr)) {
    said.push(line);
    if (line.includes('"type":"worker"')) engines.push(JSON.parse(line).pid);
    if (line.includes('"type":"cellEnd"')) firstCellSeconds ||= seconds();
  }
  const { code, signal } = await child.status;
  clearTimeout(timer);
  await child.stdout.cancel();
  return {
    killed: killed && signal === "SIGKILL",
    code,
    stderr: said.join("\n"),
    seconds: seconds(),
    firstCellSeconds,
    engines,
  };
}

Deno.test("a sweep that is killed at twenty random moments comes to an undisturbed one's results", async () => {
  const seed = Number(Deno.env.get("TRANSMLA_KILL_SEED") ?? Date.now() % 1e6);
  const uniform = uniforms(seed);
  try {
    await withTinyFile(sweepYaml, async (tiny, file) => {
      const whole = await attempt(tiny, file, tiny.out);
      assertEquals(whole.code, 0, whole.stderr);
      const expected = await resultsOf(tiny.out);
      assertEquals(expected.length, 34);
      // Its moments are no help to the others.
      await Deno.remove(join(tiny.folder, "cache"), { recursive: true });
      // As long as starting and a few cells take: each start comes a bit further.
      const window = whole.firstCellSeconds +
        (whole.seconds - whole.firstCellSeconds) / 5;

      const reading = new AbortController();
      const readers: Promise<number>[] = [];
      let kills = 0;
      let runs = 0;
      let finished = false;
      while (kills < KILLS || !finished) {
        const out = join(tiny.folder, `killed-${runs}`);
        if (readers.length === runs) {
          readers.push(readWholeFiles(out, reading.signal));
          finished = false;
        }
        const { killed, code, stderr, engines } = await attempt(
          tiny,
          file,
          out,
          kills === KILLS ? undefined : {
            victim: uniform() < 0.5 ? "process" : "group",
            afterSeconds: uniform() * window,
          },
        );
        for (const engine of engines) {
          assert(
            await isGoneWithin(engine, 2),
            `engine process ${engine} has outlived the sweep`,
          );
        }
        if (killed) {
          kills++;
          continue;
        }
        assertEquals(code, 0, stderr);
        assertEquals(await resultsOf(out), expected);
        assertClean(out);
        finished = true;
        runs++;
      }
      reading.abort();
      const files = (await Promise.all(readers)).reduce((a, b) => a + b, 0);
      assert(files > KILLS, `${files} files were read`);
      assertEquals(kills, KILLS);
    });
  } catch (error) {
    console.error(`TRANSMLA_KILL_SEED=${seed}`);
    throw error;
  }
});

Deno.test("an engine process does not outlive a sweep that is killed in the middle of a long cell", async () => {
  await withTinyFile(
    (tiny) =>
      tinyYaml(tiny, {
        variants: "[{ method: original }]",
        measure: `{ perplexity: { text: "${tiny.test}", contexts: [8192] } }`,
      }),
    async (tiny, file) => {
      const config = join(tiny.model, "config.json");
      await Deno.writeTextFile(
        config,
        (await Deno.readTextFile(config))
          .replace(
            '"max_position_embeddings": 512',
            '"max_position_embeddings": 8192',
          ),
      );
      const child = experimentCommand(
        tiny,
        [file, "--out", tiny.out, "--log-format", "json"],
        { detached: true },
      ).spawn();
      let engine = 0;
      for await (const line of decodedLines(child.stderr)) {
        if (line.includes('"type":"worker"')) engine = JSON.parse(line).pid;
        if (line.includes('"stage":"perplexity"')) child.kill("SIGKILL");
      }
      await child.status;
      await child.stdout.cancel();
      assert(engine > 0);
      assert(await isGoneWithin(engine, 2), `engine process ${engine} runs on`);
    },
    20_000,
  );
});
