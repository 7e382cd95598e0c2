import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { Session } from "../engine/engine.ts";
import { generationSeconds, requestThroughput } from "./requests.ts";

Deno.test("generationSeconds() integrates times that grow linearly exactly", () => {
  const ms = (tokens: number) => 2 + tokens / 100;
  const sampled = (...lengths: number[]) =>
    lengths.map((contextTokens) => ({ contextTokens, ms: ms(contextTokens) }));
  // From 100 to 200: 100 steps of 3.5 ms in the mean.
  assertAlmostEquals(
    generationSeconds(sampled(100, 140, 200), 100, 200),
    0.35,
    1e-12,
  );
  // Outside the samples a step takes as long as at the nearest.
  assertAlmostEquals(
    generationSeconds(sampled(110, 190), 100, 200),
    (10 * 3.1 + 80 * 3.5 + 10 * 3.9) / 1000,
    1e-12,
  );
  assertAlmostEquals(
    generationSeconds([{ contextTokens: 150, ms: 4 }], 100, 200),
    0.4,
    1e-12,
  );
});

/** Each step takes 1 ms and a microsecond for each token in the cache. */
function linearSession() {
  const fills: { batch: number; tokens: number; reserve: number }[] = [];
  const prefills: number[][] = [];
  let tokens = 0;
  const session = {
    prefill(prompts: readonly Int32Array[]) {
      prefills.push(prompts.map(({ length }) => length));
      return Promise.resolve();
    },
    decode(steps: number) {
      const stepSeconds = Float64Array.from(
        { length: steps },
        (_, i) => (1 + (tokens + i) / 1000) / 1000,
      );
      return Promise.resolve({ tokens: [], stepSeconds, samples: 1 });
    },
  };
  return {
    session: session as unknown as Session,
    fills,
    prefills,
    fill: (batch: number, length: number, reserve: number) => {
      fills.push({ batch, tokens: length, reserve });
      tokens = length;
      return Promise.resolve();
    },
  };
}

Deno.test("requestThroughput() times steps along the generation and serves all requests", async () => {
  const { session, fill, fills, prefills } = linearSession();
  const speed = await requestThroughput(session, {
    count: 100,
    batchSize: 8,
    contextTokens: 2000,
    samples: 3,
    steps: 10,
    repetitions: 1,
    warmups: 1,
    reserve: 1,
    fill,
    prompt: (length) => new Int32Array(length),
  });
  const of = (batch: number) => (tokens: number) => ({
    batch,
    tokens,
    reserve: 11,
  });
  // 100 are 12 batches of 8 and one of 4; the cache of the whole one stays.
  const places = [1000, 1000, 1495, 1990];
  assertEquals(fills, [...places.map(of(4)), ...places.map(of(8))]);
  // One untimed and one timed prefill of about 4096 tokens.
  assertEquals(prefills, [[1000, 1000, 1000, 1000], [1000, 1000, 1000, 1000]]);
  const { requests } = speed;
  assertEquals(requests.inputTokens, 1000);
  assertEquals(requests.outputTokens, 1000);
  assertEquals(requests.prefillSampledTokens, 4000);
  assertEquals(
    requests.sampledSteps.map(({ contextTokens }) => contextTokens),
    [1005, 1500, 1995],
  );
  assertEquals(requests.lastBatch?.sequences, 4);
  assertEquals(
    requests.lastBatch?.sampledSteps,
    requests.sampledSteps,
  );
  // 1000 steps of 2.5 ms in the mean, whatever the sequences: 13 times.
  assertAlmostEquals(
    requests.seconds - requests.prefillSeconds,
    1000 * 2.5e-3 * 13,
    0.02,
  );
  assertAlmostEquals(
    requests.outputTokensPerSecond,
    100 * 1000 / requests.seconds,
    1e-6,
  );
  assertAlmostEquals(
    speed.prefillTokensPerSecond! * requests.prefillSeconds,
    100 * 1000,
    1e-3,
  );
  assertAlmostEquals(speed.decodeTokensPerSecond, 8000 / speed.p50Ms, 1e-9);
});

Deno.test("requestThroughput() of a short output times no more steps than it has", async () => {
  const { session, fill, fills } = linearSession();
  const speed = await requestThroughput(session, {
    count: 2,
    batchSize: 2,
    contextTokens: 9,
    samples: 1,
    steps: 16,
    repetitions: 2,
    warmups: 0,
    fill,
    prompt: (length) => new Int32Array(length),
  });
  assertEquals(speed.requests.inputTokens, 4);
  assertEquals(speed.requests.lastBatch, undefined);
  assertEquals(fills, [
    { batch: 2, tokens: 4, reserve: 5 },
    { batch: 2, tokens: 4, reserve: 5 },
  ]);
  assertEquals(speed.decodeSamples, 2);
});
