import {
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import type { Session } from "../engine/engine.ts";
import {
  batchTokensOf,
  meanAndStderr,
  pairedDelta,
  perplexity,
} from "./perplexity.ts";

/** Scores window w as w + its first token, at every position. */
function fakeSession(batches: number[]): Session {
  return {
    score(tokens: readonly Int32Array[]) {
      batches.push(tokens.length);
      return Promise.resolve(
        tokens.map((ids) => new Float32Array(ids.length - 1).fill(ids[0]!)),
      );
    },
  } as unknown as Session;
}

Deno.test("perplexity() averages whole windows within the budget, whatever the batch", async () => {
  const ids = Int32Array.from({ length: 23 }, (_, i) => i / 5);
  for (const [batch, calls] of [[1, [1, 1, 1]], [2, [2, 1]]] as const) {
    const batches: number[] = [];
    const scores = await perplexity(fakeSession(batches), ids, {
      windowTokens: 5,
      tokens: 19,
      batch,
    });
    assertEquals(batches, [...calls]);
    assertEquals(scores.windowNll, [0, 1, 2]);
    assertAlmostEquals(scores.value, Math.E);
  }
});

Deno.test("perplexity() gives a GPU larger batches, of the same figures", async () => {
  const ids = Int32Array.from({ length: 33 * 1024 }, (_, i) => i / 1024);
  const pairs = [...Array.from({ length: 16 }, () => 2), 1];
  const calls = { reference: pairs, onnx: pairs, webgpu: [17, 16] };
  for (const engine of ["reference", "onnx", "webgpu"] as const) {
    const batches: number[] = [];
    const scores = await perplexity(fakeSession(batches), ids, {
      windowTokens: 1024,
      tokens: "all",
      batchTokens: batchTokensOf(engine),
    });
    assertEquals(batches, calls[engine]);
    assertEquals(scores.windowNll, Array.from({ length: 33 }, (_, i) => i));
  }
});

Deno.test("perplexity() refuses a NaN", async () => {
  const session = {
    score: () => Promise.resolve([new Float32Array([1, NaN])]),
  } as unknown as Session;
  await assertRejects(
    () =>
      perplexity(session, new Int32Array(3), {
        windowTokens: 3,
        tokens: "all",
      }),
    RangeError,
    "must be finite",
  );
});

Deno.test("meanAndStderr() divides by n - 1", () => {
  const { mean, stderr } = meanAndStderr([1, 2, 3, 4]);
  assertAlmostEquals(mean, 2.5);
  assertAlmostEquals(stderr, Math.sqrt(5 / 3 / 4));
  assertEquals(meanAndStderr([7]), { mean: 7, stderr: 0 });
});

Deno.test("pairedDelta() pairs: a constant shift has an interval of width 0", () => {
  const base = [3, 1, 4, 1.5];
  const delta = pairedDelta(base.map((v) => v + 0.25), base);
  assertAlmostEquals(delta.deltaNll, 0.25);
  assertAlmostEquals(delta.deltaNllCi95![0], 0.25, 1e-12);
  assertAlmostEquals(delta.deltaNllCi95![1], 0.25, 1e-12);
});

Deno.test("pairedDelta() uses Student's t", () => {
  // Differences 0, 1: mean 0.5, standard error 0.5, t(1) = 12.706.
  const { deltaNllCi95 } = pairedDelta([1, 3], [1, 2]);
  assertAlmostEquals(deltaNllCi95![0], 0.5 - 12.7062 * 0.5, 1e-4);
  assertAlmostEquals(deltaNllCi95![1], 0.5 + 12.7062 * 0.5, 1e-4);
  assertEquals("deltaNllCi95" in pairedDelta([1], [2]), false);
  assertThrows(() => pairedDelta([1], [1, 2]), RangeError, "1 and 2");
});
