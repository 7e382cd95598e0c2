// How fast the onnx engine is on one model, beside the machine's own speed at
// matrix products: load, scoring, prefill, decode, moments.
//
//   deno run -A bench/onnx_engine.ts MODEL [--device cpu|webgpu] [--dtype f32]
//     [--threads N] [--text NAME] [--window 2048] [--windows 1]
//     [--contexts 512,2048] [--batch 1] [--steps 32] [--out FILE]
//
// MODEL is what openCheckpoint() takes, or synthetic:NAME (then ids are random).

import { parseArgs } from "node:util";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import type { EngineOptions, Session } from "../src/engine/engine.ts";
import { openEngine } from "../src/engine/open.ts";
import { GraphBuilder } from "../src/linalg/onnx_graph.ts";
import { createSession, ort } from "../src/linalg/onnx_runtime.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { loadModel } from "../src/model/load.ts";
import { syntheticModel } from "../src/model/synthetic.ts";
import { openText } from "../src/text/open_text.ts";
import { openTokenizer } from "../src/tokenizer/tokenizer_json.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: "string", default: "cpu" },
    dtype: { type: "string", default: "f32" },
    threads: { type: "string" },
    text: { type: "string", default: "wikitext-2/test" },
    window: { type: "string", default: "2048" },
    windows: { type: "string", default: "1" },
    contexts: { type: "string", default: "512,2048" },
    batch: { type: "string", default: "1" },
    steps: { type: "string", default: "32" },
    out: { type: "string" },
  },
});
const [location] = positionals;
if (location === undefined) {
  console.error("Cannot run the benchmark as no model is named");
  Deno.exit(2);
}
const options = {
  device: values.device,
  dtype: values.dtype,
  ...(values.threads === undefined ? {} : { threads: Number(values.threads) }),
} as EngineOptions;
const windowTokens = Number(values.window);

const engine = await openEngine("onnx", options);
const { model, ids } = await openModel(location);
const loadStart = performance.now();
const session = await engine.open(model);
const report = {
  model: model.id,
  sha256: model.sha256,
  engine: engine.describe(),
  cpuGemmGflops: await gemmGflops(options.threads),
  loadSeconds: since(loadStart),
  score: await timeScore(session),
  throughput: await timeContexts(session),
  moments: await timeMoments(session),
};
await session.close();
await engine.close();
console.log(JSON.stringify(report, null, 2));
if (values.out !== undefined) {
  await Deno.writeTextFile(values.out, JSON.stringify(report, null, 2) + "\n");
}

async function openModel(
  location: string,
): Promise<{ model: DecoderModel; ids: (count: number) => Int32Array }> {
  const name = /^synthetic:(.+)$/.exec(location)?.[1];
  if (name !== undefined) {
    const model = syntheticModel(name);
    return { model, ids: (count) => randomIds(count, model.config.vocabSize) };
  }
  const checkpoint = await openCheckpoint(location);
  const model = loadModel(checkpoint);
  if (values.text === "random" || checkpoint.tokenizerJson === undefined) {
    return { model, ids: (count) => randomIds(count, model.config.vocabSize) };
  }
  const tokenizer = openTokenizer(checkpoint.tokenizerJson);
  const { text } = await openText(values.text);
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
async function timeScore(session: Session) {
  const count = Number(values.windows);
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

async function timeContexts(session: Session) {
  const results = [];
  const batch = Number(values.batch);
  const steps = Number(values.steps);
  for (const context of values.contexts.split(",").map(Number)) {
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
async function timeMoments(session: Session) {
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
