// The examples of README.md and mod.ts, run as they stand but for the model: a
// tiny one, with a tokenizer of bytes and options that fit its heads.

import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { assert, assertEquals } from "@std/assert";
import * as bench from "../mod.ts";
import { syntheticModel } from "../src/model/synthetic.ts";
import { writeTinyFolder } from "./fixtures/tiny_folder.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

Deno.test("the examples of README.md and mod.ts have the types that they need", async () => {
  await withFiles(await examples(), async (files) => {
    await deno("check", [], files);
  });
});

Deno.test("the example of README.md runs and prints a perplexity", async () => {
  const [example] = await examples();
  assertPerplexity(Number(await run(example!)));
});

Deno.test("the example of mod.ts runs and prints cache and perplexity of both models", async () => {
  const [, example] = await examples();
  const lines = (await run(example!)).split("\n").map((line) =>
    line.match(/^(\d+) numbers a token and layer, perplexity ([\d.]+)$/)
  );
  // 2·G·d = 64; r + m = 24 + 16.
  assertEquals(lines.map((match) => Number(match?.[1])), [64, 40]);
  for (const match of lines) assertPerplexity(Number(match?.[2]));
});

Deno.test("the second example of mod.ts runs and prints divergence and agreement", async () => {
  const [, , example] = await examples();
  const match = (await run(example!))
    .match(/^KL ([\d.]+) nats, top-1 agreement ([\d.]+)$/);
  const [kl, agreement] = [Number(match?.[1]), Number(match?.[2])];
  assert(kl > 0 && kl < 10, `KL is ${kl}`);
  assert(agreement > 0 && agreement <= 1, `agreement is ${agreement}`);
});

Deno.test("mod.ts exports what its example and README.md name", () => {
  const names = ["openCheckpoint", "loadModel", "openTokenizer", "openText"];
  names.push("sampleCalibration", "collectMoments", "convertModel");
  names.push("windowStates", "divergence", "continueGreedily");
  names.push("openEngine", "perplexity", "cacheWidths", "throughput");
  const exported = bench as unknown as Record<string, unknown>;
  const missing = names.filter((name) => typeof exported[name] !== "function");
  assertEquals(missing, []);
  assert(bench.METHODS.some(({ name }) => name === "transmla"));
});

Deno.test("the method of docs/adding-a-method.md converts every layer", async () => {
  const [source] = examplesOf(
    await Deno.readTextFile(join(ROOT, "docs/adding-a-method.md")),
  );
  const folder = await Deno.makeTempDir({ prefix: "transmla-method-" });
  try {
    const conversion = pathToFileURL(join(ROOT, "src/conversion/")).href;
    const file = join(folder, "slow_rope.ts");
    await Deno.writeTextFile(
      file,
      source!.replaceAll('"../', `"${conversion}`),
    );
    const { slowRope } = await import(pathToFileURL(file).href);
    const original = syntheticModel("tiny");
    const options = slowRope.options.parse({});
    const { model, layers } = await slowRope.convert(original, options);
    assertEquals(layers.length, original.config.numHiddenLayers);
    for (const { layer } of layers) {
      const [before, after] = await Promise.all(
        [original, model].map(async (one) =>
          (await one.layer(layer)).attention.rotary.frequencies
        ),
      );
      assertEquals(after, before.map((f: number) => f / 2));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Random weights over 256 bytes: near-uniform, so about 256. */
function assertPerplexity(value: number): void {
  assert(value > 100 && value < 1000, `perplexity is ${value}`);
}

function examplesOf(text: string): string[] {
  return [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]!);
}

/** That of README.md and the two of mod.ts. */
async function examples(): Promise<string[]> {
  const readme = examplesOf(await Deno.readTextFile(join(ROOT, "README.md")));
  const source = await Deno.readTextFile(join(ROOT, "mod.ts"));
  const ofModule = examplesOf(source.replace(/^ \* ?/gm, ""));
  assertEquals([readme.length, ofModule.length], [1, 2]);
  return [...readme, ...ofModule];
}

/** Writes examples as files beside a tiny model, and removes all afterwards. */
async function withFiles<T>(
  texts: readonly string[],
  body: (files: readonly string[]) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "transmla-example-" });
  try {
    const model = join(folder, "model");
    await writeTinyFolder(model, "llama");
    const files = texts.map((_, i) => join(folder, `example-${i}.ts`));
    for (const [i, file] of files.entries()) {
      await Deno.writeTextFile(file, fit(texts[i]!, model));
    }
    return await body(files);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Types are checked once for all, in a test of its own. */
function run(example: string): Promise<string> {
  const permissions = ["read", "write", "env", "ffi", "sys"]
    .map((name) => `--allow-${name}`);
  return withFiles(
    [example],
    (files) => deno("run", ["--no-check", ...permissions], files),
  );
}

/** What it prints, trimmed. */
async function deno(
  verb: "check" | "run",
  options: readonly string[],
  files: readonly string[],
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [verb, `--config=${join(ROOT, "deno.json")}`, ...options, ...files],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

/** Replaces what only fits the example's model; each must be there once. */
function fit(example: string, model: string): string {
  const replacements = [
    ['"./mod.ts"', JSON.stringify(pathToFileURL(join(ROOT, "mod.ts")).href)],
    ['"smollm2-135m-q4_1"', JSON.stringify(model)],
    ["kvLoraRank: 128", "qkRopeHeadDim: 16, kvLoraRank: 24"],
  ] as const;
  let text = example;
  for (const [from, to] of replacements) {
    assertEquals(text.split(from).length, 2, `the example says ${from} once`);
    text = text.replace(from, () => to);
  }
  return text;
}
