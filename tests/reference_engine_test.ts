// The reference engine behind the engine interface.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { openEngine } from "../src/engine/open.ts";
import type { Session } from "../src/engine/engine.ts";
import { cacheWidths, type DecoderModel } from "../src/model/decoder.ts";
import {
  forward,
  newCaches,
  readWeights,
} from "../src/model/reference_forward.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import { tinyKindsModel } from "./fixtures/tiny_kinds.ts";
import { randomTokens } from "./fixtures/tiny_models.ts";

const VOCAB = 97;

function mixedModel(): Promise<DecoderModel> {
  return tinyKindsModel({
    seed: 21,
    bias: "everywhere",
    vocabSize: VOCAB,
    hiddenSize: 40,
    kinds: ["gqa", "mla", "partialRope", "mla"],
  });
}

async function openSession(model: DecoderModel): Promise<Session> {
  return await (await openEngine("reference")).open(model);
}

function argmax(values: Float32Array): number {
  return values.indexOf(values.reduce((a, b) => Math.max(a, b)));
}

Deno.test("openEngine() of the reference engine describes f64 arithmetic", async () => {
  const engine = await openEngine("reference", { dtype: "f32", threads: 2 });
  const { name, provider, dtype } = engine.describe();
  assertEquals({ name, provider, dtype }, {
    name: "reference",
    provider: "cpu",
    dtype: "f64",
  });
});

Deno.test("openEngine() of the reference engine rejects f16 and GPUs", async () => {
  await assertRejects(
    () => openEngine("reference", { dtype: "f16" }),
    RangeError,
    'current value is "f16"',
  );
  await assertRejects(
    () => openEngine("reference", { device: "webgpu" }),
    RangeError,
    'current value is "webgpu"',
  );
});

Deno.test("Session.score() is the log-softmax of Session.logits()", async () => {
  const session = await openSession(await mixedModel());
  // Longer than the chunks in which the head runs.
  const batch = [1, 2].map((seed) => randomTokens(seed, 131, VOCAB));
  const scores = await session.score(batch);
  assertEquals(scores.length, 2);
  for (const [b, tokens] of batch.entries()) {
    const logits = await session.logits(tokens);
    assertEquals(logits.length, 131 * VOCAB);
    const expected = Array.from({ length: 130 }, (_, t) => {
      const row = logits.subarray(t * VOCAB, (t + 1) * VOCAB);
      const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
      return Math.log(sum) - row[tokens[t + 1]!]!;
    });
    assertClose(scores[b]!, expected, { atol: 1e-5, what: `sequence ${b}` });
  }
});

Deno.test("Session.score() of one token is empty", async () => {
  const session = await openSession(await mixedModel());
  assertEquals(await session.score([Int32Array.of(5)]), [new Float32Array(0)]);
});

Deno.test("Session.decode() continues each prompt as repeated prefills do", async () => {
  const session = await openSession(await mixedModel());
  const prompts = [3, 4, 5].map((seed) => randomTokens(seed, 9, VOCAB));
  await session.prefill(prompts, 8);
  const first = await session.decode(5);
  const second = await session.decode(3);
  const last = await session.lastLogits();
  assertEquals(first.stepSeconds.length, 5);
  assert(first.stepSeconds.every((seconds) => seconds > 0));
  for (const [b, prompt] of prompts.entries()) {
    const continued = [...first.tokens[b]!, ...second.tokens[b]!];
    let sequence = prompt;
    for (const [step, token] of continued.entries()) {
      const logits = await session.logits(sequence);
      const expected = argmax(logits.subarray(logits.length - VOCAB));
      assertEquals(token, expected, `sequence ${b}, step ${step}`);
      sequence = Int32Array.of(...sequence, token);
    }
    const logits = await session.logits(sequence);
    assertClose(last[b]!, logits.subarray(logits.length - VOCAB), {
      atol: 1e-6,
      what: `last logits of sequence ${b}`,
    });
  }
});

Deno.test("Session.decode() with 0 steps returns no token and keeps the logits", async () => {
  const session = await openSession(await mixedModel());
  await session.prefill([randomTokens(1, 4, VOCAB)]);
  const before = await session.lastLogits();
  const { tokens, stepSeconds } = await session.decode(0);
  assertEquals(tokens, [new Int32Array(0)]);
  assertEquals(stepSeconds.length, 0);
  assertEquals(await session.lastLogits(), before);
});

Deno.test("Session.cache() counts the f64 bytes of cached tokens, not the reserve", async () => {
  const model = await mixedModel();
  let numbers = 0;
  for (let l = 0; l < model.config.numHiddenLayers; l++) {
    const { first, second } = cacheWidths((await model.layer(l)).attention);
    numbers += first + second;
  }
  const session = await openSession(model);
  assertEquals(session.cache(), { tokens: 0, batch: 0, bytes: 0 });
  await session.prefill([1, 2].map((seed) => randomTokens(seed, 7, VOCAB)), 6);
  assertEquals(session.cache(), {
    tokens: 7,
    batch: 2,
    bytes: 2 * 7 * numbers * 8,
  });
  await session.decode(4);
  assertEquals(session.cache(), {
    tokens: 11,
    batch: 2,
    bytes: 2 * 11 * numbers * 8,
  });
});

Deno.test("Session.decode() rejects an empty and a full cache", async () => {
  const session = await openSession(await mixedModel());
  await assertRejects(() => session.decode(1), RangeError, "prefilled");
  await session.prefill([randomTokens(1, 4, VOCAB)], 2);
  await assertRejects(
    () => session.decode(3),
    RangeError,
    "steps must be in 0..2, the room left in the cache: current value is 3",
  );
  await session.decode(2);
  await assertRejects(() => session.decode(1), RangeError, "0..0");
});

Deno.test("Session.prefill() and decode() of sequences of other lengths are those of each alone", async () => {
  const model = await mixedModel();
  const session = await openSession(model);
  const prompts = [4, 11, 1].map((length) =>
    randomTokens(length, length, VOCAB)
  );
  await session.prefill(prompts, 6);
  const before = session.cache();
  const first = await session.decode(4);
  const second = await session.decode(2);
  const last = await session.lastLogits();
  const after = session.cache();
  let [bytesBefore, bytesAfter] = [0, 0];
  for (const [b, prompt] of prompts.entries()) {
    await session.prefill([prompt], 6);
    bytesBefore += session.cache().bytes;
    const alone = await session.decode(6);
    bytesAfter += session.cache().bytes;
    assertEquals(
      [...first.tokens[b]!, ...second.tokens[b]!],
      [...alone.tokens[0]!],
    );
    assertEquals(last[b], (await session.lastLogits())[0]);
  }
  assertEquals(before, { tokens: 11, batch: 3, bytes: bytesBefore });
  assertEquals(after, { tokens: 17, batch: 3, bytes: bytesAfter });
  await session.prefill(prompts, 1);
  await assertRejects(() => session.decode(2), RangeError, "0..1");
});

Deno.test("Session methods reject ragged and empty batches", async () => {
  const session = await openSession(await mixedModel());
  const ragged = [Int32Array.of(1, 2), Int32Array.of(1)];
  await assertRejects(() => session.score(ragged), RangeError, "sequence 1");
  await assertRejects(() => session.score([]), RangeError, "at least one");
  await assertRejects(() => session.prefill([]), RangeError, "at least one");
  await assertRejects(
    () => session.prefill([Int32Array.of(1), new Int32Array(0)]),
    RangeError,
    "at least one",
  );
  await assertRejects(
    () => session.logits(new Int32Array(0)),
    RangeError,
    "at least one",
  );
});

Deno.test("Session.moments() adds up [h;1][h;1]^T over ragged sequences", async () => {
  const model = await mixedModel();
  const { hiddenSize: D, numHiddenLayers: L } = model.config;
  const sequences = [randomTokens(1, 6, VOCAB), randomTokens(2, 3, VOCAB)];
  const size = D + 1;
  const grams = Array.from({ length: L }, () => new Float64Array(size * size));
  const hidden: number[][] = Array.from({ length: L }, () => []);
  const session = await openSession(model);
  await session.moments(sequences, {
    add(layer, gram, rows) {
      for (const [i, element] of gram.entries()) grams[layer]![i]! += element;
      hidden[layer]!.push(...rows);
    },
  });
  const inputs: number[][] = Array.from({ length: L }, () => []);
  const weights = await readWeights(model);
  for (const sequence of sequences) {
    forward(weights, sequence, newCaches(weights, sequence.length), {
      tap: (layer, y) => inputs[layer]!.push(...y),
    });
  }
  for (let l = 0; l < L; l++) {
    const h = inputs[l]!;
    assertEquals(h.length, 9 * D);
    const entry = (t: number, i: number) => i < D ? h[t * D + i]! : 1;
    const expected = Array.from({ length: size * size }, (_, at) => {
      let sum = 0;
      for (let t = 0; t < 9; t++) {
        sum += entry(t, Math.floor(at / size)) * entry(t, at % size);
      }
      return sum;
    });
    assertClose(grams[l]!, expected, { atol: 1e-9, what: `gram ${l}` });
    assertClose(hidden[l]!, h, { atol: 1e-6, what: `hidden ${l}` });
    assertEquals(grams[l]![size * size - 1], 9);
  }
});

Deno.test("Session.close() ends the session", async () => {
  const session = await openSession(await mixedModel());
  await session.close();
  await assertRejects(
    () => session.logits(Int32Array.of(1)),
    TypeError,
    "closed",
  );
});
