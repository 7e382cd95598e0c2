// How fast the onnx engine is on one model, beside the machine's own speed at
// matrix products: load, scoring, prefill, decode, moments.
//
// MODEL is what openCheckpoint() takes, or synthetic:NAME (then ids are random).

import { InputError } from "../src/base/errors.ts";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import {
  EXIT,
  type Flags,
  integerFlag,
  parseFlags,
  print,
  runVerb,
} from "../src/cli/terminal.ts";
import type { EngineOptions, Session } from "../src/engine/engine.ts";
import { openEngine } from "../src/engine/open.ts";
import { GraphBuilder } from "../src/linalg/onnx_graph.ts";
import { createSession, ort } from "../src/linalg/onnx_runtime.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { loadModel } from "../src/model/load.ts";
import { syntheticModel } from "../src/model/synthetic.ts";
import { openText } from "../src/text/open_text.ts";
import { openTokenizer } from "../src/tokenizer/tokenizer_json.ts";

const HELP = `deno task bench onnx MODEL [options]

Measures the onnx engine on one model and prints JSON.

  MODEL            a folder, a .gguf file, a hub id, an alias, or synthetic:NAME
  --device NAME    cpu or webgpu (default: cpu)
  --dtype NAME     f32 or f16 (default: f32)
  --threads N      of the CPU (default: all)
  --text NAME      scored text, or random ids with "random" (default: brown/test)
  --window N       tokens of a scored window (default: 2048)
  --windows N      how many (default: 1)
  --contexts LIST  tokens before decoding (default: 512,2048)
  --batch N        sequences decoded together (default: 1)
  --steps N        decoded tokens (default: 32)
  --out FILE       also write the JSON there
  --help           this text`;

interface Settings {
  readonly engine: EngineOptions;
  readonly text: string;
  readonly windowTokens: number;
  readonly windows: number;
  readonly contexts: readonly number[];
  readonly batch: number;
  readonly steps: number;
}

type Ids = (count: number) => Int32Array;

export async function benchOnnx(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: [
      "device",
      "dtype",
      "threads",
      "text",
      "window",
      "windows",
      "contexts",
      "batch",
      "steps",
      "out",
    ],
  });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  const [location] = flags._;
  if (location === undefined || flags._.length > 1) {
    throw new InputError("one MODEL must be given; deno task bench MODEL");
  }
  const settings = settingsOf(flags);
  const { model, ids } = await openModel(location, settings.text);
  const engine = await openEngine("onnx", settings.engine);
  const loadStart = performance.now();
  const session = await engine.open(model);
  const report = {
    model: model.id,
    sha256: model.sha256,
    engine: engine.describe(),
    loadSeconds: since(loadStart),
    cpuGemmGflops: await gemmGflops(settings.engine.threads),
    score: await timeScore(session, ids, settings),
    throughput: await timeContexts(session, ids, settings),
    moments: await timeMoments(session, ids),
  };
  await session.close();
  await engine.close();
  const text = JSON.stringify(report, null, 2);
  print(text);
  if (typeof flags["out"] === "string") {
    await Deno.writeTextFile(flags["out"], text + "\n");
  }
  return EXIT.ok;
}

function settingsOf(flags: Flags): Settings {
  const threads = integerFlag(flags, "threads", 1);
  const contexts = String(flags["contexts"] ?? "512,2048").split(",").map(
    Number,
  );
  if (!contexts.every((context) => Number.isInteger(context) && context > 0)) {
    throw new InputError(
      `option --contexts: found ${
        flags["contexts"]
      }; allowed: whole numbers >= 1 with commas between`,
    );
  }
  return {
    engine: {
      device: oneOf(flags, "device", ["cpu", "webgpu"]),
      dtype: oneOf(flags, "dtype", ["f32", "f16"]),
      ...(threads === undefined ? {} : { threads }),
    },
    text: String(flags["text"] ?? "brown/test"),
    windowTokens: integerFlag(flags, "window", 2) ?? 2048,
    windows: integerFlag(flags, "windows", 1) ?? 1,
    contexts,
    batch: integerFlag(flags, "batch", 1) ?? 1,
    steps: integerFlag(flags, "steps", 1) ?? 32,
  };
}

function oneOf<T extends string>(
  flags: Flags,
  name: string,
  allowed: readonly [T, ...T[]],
): T {
  const found = flags[name] ?? allowed[0];
  const known = allowed.find((value) => value === found);
  if (known !== undefined) return known;
  throw new InputError(
    `option --${name}: found ${found}; allowed: ${allowed.join(", ")}`,
  );
}

async function openModel(
  location: string,
  textName: string,
): Promise<{ model: DecoderModel; ids: Ids }> {
  const name = /^synthetic:(.+)$/.exec(location)?.[1];
  if (name !== undefined) {
    const model = syntheticModel(name);
    return { model, ids: (count) => randomIds(count, model.config.vocabSize) };
  }
  const checkpoint = await openCheckpoint(location);
  const model = loadModel(checkpoint);
  if (textName === "random" || checkpoint.tokenizerJson === undefined) {
    return { model, ids: (count) => randomIds(count, model.config.vocabSize) };
  }
  const tokenizer = openTokenizer(checkpoint.tokenizerJson);
  const { text } = await openText(textName);
  const all = tokenizer.encode(text);
  return { model, ids: (count) => all.slice(0, count) };
}

function randomIds(count: number, vocabSize: number): Int32Array {
  let state = 1;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * vocabSize);
  });
}

/** Best rate of an f32 product of the size that a layer's MLP has. */
async function gemmGflops(threads: number | undefined): Promise<number> {
  const size = 1024;
  const graph = new GraphBuilder();
  const a = graph.input("a", "float32", [size, size]);
  const b = graph.input("b", "float32", [size, size]);
  const c = graph.node("Gemm", [a, b], { transB: 1 });
  graph.output("c", c, "float32", [size, size]);
  const session = await createSession(
    graph,
    threads === undefined ? {} : { threads },
  );
  const data = Float32Array.from({ length: size * size }, (_, i) => i % 7 - 3);
  const factor = new ort.Tensor("float32", data, [size, size]);
  let best = Infinity;
  for (let i = 0; i < 10; i++) {
    const start = performance.now();
    await session.run({ a: factor, b: factor });
    best = Math.min(best, since(start));
  }
  await session.release();
  return 2 * size ** 3 / best / 1e9;
}

/** The first window is run twice: graphs are compiled in the first run. */
async function timeScore(
  session: Session,
  ids: Ids,
  { windows: count, windowTokens }: Settings,
) {
  const text = ids(count * windowTokens);
  const window = (i: number) =>
    text.slice(i * windowTokens, (i + 1) * windowTokens);
  const firstStart = performance.now();
  await session.score([window(0)]);
  const firstSeconds = since(firstStart);
  const windowSeconds: number[] = [];
  const windowNll: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const [nll] = await session.score([window(i)]);
    windowSeconds.push(since(start));
    windowNll.push(nll!.reduce((sum, value) => sum + value, 0) / nll!.length);
  }
  const meanNll = windowNll.reduce((sum, value) => sum + value, 0) / count;
  return {
    windowTokens,
    firstSeconds,
    windowSeconds,
    windowNll,
    perplexity: Math.exp(meanNll),
  };
}

async function timeContexts(
  session: Session,
  ids: Ids,
  { contexts, batch, steps }: Settings,
) {
  const results = [];
  for (const context of contexts) {
    const prompts = Array.from({ length: batch }, () => ids(context));
    const compileStart = performance.now();
    await session.prefill(prompts, 1);
    await session.decode(1);
    const firstSeconds = since(compileStart);
    const start = performance.now();
    await session.prefill(prompts, steps);
    const prefillSeconds = since(start);
    const { stepSeconds } = await session.decode(steps);
    const sorted = stepSeconds.toSorted();
    const p50 = sorted[Math.floor(steps / 2)]!;
    results.push({
      context,
      batch,
      firstSeconds,
      prefillTokensPerSecond: batch * context / prefillSeconds,
      decodeTokensPerSecond: batch / p50,
      p50Ms: p50 * 1000,
      p95Ms: sorted[Math.floor(steps * 0.95)]! * 1000,
      cache: session.cache(),
    });
  }
  return results;
}

/** Moments of 8 sequences of 256 tokens, as calibrations have them. */
async function timeMoments(session: Session, ids: Ids) {
  const sequences = Array.from({ length: 8 }, () => ids(256));
  const sink = { add: () => {} };
  await session.moments(sequences, sink);
  const start = performance.now();
  await session.moments(sequences, sink);
  return { tokens: 8 * 256, seconds: since(start) };
}

function since(start: number): number {
  return (performance.now() - start) / 1000;
}

if (import.meta.main) await runVerb(benchOnnx);
