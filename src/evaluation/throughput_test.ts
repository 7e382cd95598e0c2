import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import type { CacheFill, Session } from "../engine/engine.ts";
import { quantile, throughput } from "./throughput.ts";

/** Counts calls; decode steps take what `stepSeconds` says. */
function fakeSession(stepSeconds: (call: number) => number) {
  const calls = { prefill: 0, decode: 0, reserve: 0, lengths: [] as number[] };
  const session = {
    prefill(tokens: readonly Int32Array[], reserve = 0) {
      calls.prefill++;
      calls.reserve = reserve;
      calls.lengths = tokens.map((t) => t.length);
      return Promise.resolve();
    },
    decode(steps: number) {
      const seconds = stepSeconds(calls.decode++);
      return Promise.resolve({
        tokens: [],
        stepSeconds: new Float64Array(steps).fill(seconds),
        samples: 1,
      });
    },
  };
  return { session: session as unknown as Session, calls };
}

Deno.test("throughput() leaves the warm-up out of the figures", async () => {
  const { session, calls } = fakeSession((call) => call === 0 ? 9 : 0.01);
  const speed = await throughput(session, new Int32Array(64), {
    batchSize: 2,
    contextTokens: 32,
    repetitions: 3,
    steps: 4,
  });
  assertEquals(calls, {
    prefill: 4,
    decode: 4,
    reserve: 4,
    lengths: [32, 32],
  });
  assertEquals(speed.decodeSamples, 3);
  assertAlmostEquals(speed.p95Ms, 10);
  assertAlmostEquals(speed.decodeTokensPerSecond, 200);
});

Deno.test("throughput() refuses a prompt that is too short", async () => {
  const { session } = fakeSession(() => 1);
  await assertRejects(
    () =>
      throughput(session, new Int32Array(63), {
        batchSize: 2,
        contextTokens: 32,
      }),
    RangeError,
    ">= 64 tokens",
  );
});

Deno.test("quantile() interpolates between order statistics", () => {
  assertEquals(quantile([3, 1, 2], 0.5), 2);
  assertEquals(quantile([4, 1, 2, 3], 0.5), 2.5);
  assertAlmostEquals(quantile([0, 10], 0.95), 9.5);
  assertEquals(quantile([7], 0.95), 7);
});

Deno.test("throughput() fills a cache with seeded numbers instead of a prefill", async () => {
  const { session, calls } = fakeSession(() => 0.02);
  const fills: CacheFill[] = [];
  const seeded: Session = Object.assign(session, {
    fill: (fill: CacheFill) => {
      fills.push(fill);
      return Promise.resolve();
    },
  });
  const speed = await throughput(seeded, new Int32Array(), {
    batchSize: 3,
    contextTokens: 64,
    repetitions: 2,
    steps: 8,
    reserve: 1,
    cacheSeed: 5,
  });
  const fill = { batch: 3, tokens: 64, reserve: 9, seed: 5 };
  assertEquals(fills, [fill, fill, fill]);
  assertEquals(calls.prefill, 0);
  assertEquals(speed.prefillTokensPerSecond, undefined);
  assertAlmostEquals(speed.decodeTokensPerSecond, 150);
});

Deno.test("throughput() refuses seeded numbers where the engine has none", async () => {
  const { session } = fakeSession(() => 1);
  await assertRejects(
    () =>
      throughput(session, new Int32Array(), {
        batchSize: 1,
        contextTokens: 8,
        cacheSeed: 1,
      }),
    RangeError,
    "allowed with it: prefill",
  );
});
