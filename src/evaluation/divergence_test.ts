import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { tensor } from "../base/tensor.ts";
import type { Session, TokenDivergence } from "../engine/engine.ts";
import type { DecoderModel } from "../model/decoder.ts";
import { divergence, stateBytes, windowStates } from "./divergence.ts";

const IDS = Int32Array.from({ length: 13 }, (_, i) => i);

function model(head: number[], shape: number[] = [2, 2]): DecoderModel {
  const lmHead = tensor(Float32Array.from(head), shape);
  return {
    id: `head ${head}`,
    lmHead: () => Promise.resolve(lmHead),
  } as unknown as DecoderModel;
}

/** States are the tokens themselves; the KL of a window is its first token, or NaN. */
function session(calls: number[], broken?: number): Session {
  const result = (window: Int32Array): TokenDivergence => ({
    kl: new Float32Array(window.length - 1).fill(
      window[0] === broken ? NaN : window[0]!,
    ),
    agree: Uint8Array.from({ length: window.length - 1 }, (_, t) => t % 2),
  });
  return {
    hidden: (tokens: readonly Int32Array[]) => {
      calls.push(tokens.length);
      return Promise.resolve(tokens.map((own) => Float32Array.from(own)));
    },
    divergence: (
      tokens: readonly Int32Array[],
      states: readonly Float32Array[],
    ) => {
      calls.push(tokens.length);
      assertEquals(
        states.map((own) => [...own]),
        tokens.map((own) => [...own]),
      );
      return Promise.resolve(tokens.map(result));
    },
  } as unknown as Session;
}

Deno.test("windowStates() and divergence() batch windows and average them", async () => {
  const calls: number[] = [];
  const own = { model: model([1, 2, 3, 4]), session: session(calls) };
  const progress: number[][] = [];
  const states = await windowStates(own, IDS, {
    windowTokens: 3,
    batchTokens: 7,
    progress: (done, total) => progress.push([done, total]),
  });
  assertEquals(states.windows.map((window) => window[0]), [0, 3, 6, 9]);
  assertEquals(calls, [2, 2]);
  assertEquals(progress, [[0, 4], [2, 4], [4, 4]]);
  const scores = await divergence(own, states, { batchTokens: 9 });
  assertEquals(calls, [2, 2, 2, 2]);
  assertEquals(scores.windowKl, [0, 3, 6, 9]);
  assertEquals(scores.klNats, 4.5);
  // Sample standard deviation of 0, 3, 6, 9 over sqrt 4.
  assertAlmostEquals(scores.klStderr, Math.sqrt(15) / 2, 1e-12);
  assertEquals(scores.windowAgreement, [0.5, 0.5, 0.5, 0.5]);
  assertEquals(scores.top1Agreement, 0.5);
  assertEquals(
    (await windowStates(own, IDS, { windowTokens: 3, tokens: 7 }))
      .windows.length,
    2,
  );
});

Deno.test("divergence() refuses another head and numbers that are not finite", async () => {
  const original = { model: model([1, 2, 3, 4]), session: session([]) };
  const states = await windowStates(original, IDS, { windowTokens: 4 });
  // Equal weights in other memory are the same head.
  await divergence({ ...original, model: model([1, 2, 3, 4]) }, states);
  for (
    const [other, message] of [
      [model([1, 2, 3, 5]), "[2,2] and [2,2] with other weights"],
      [model([1, 2], [1, 2]), "current shapes are [1,2] and [2,2]"],
    ] as const
  ) {
    await assertRejects(
      () => divergence({ ...original, model: other }, states),
      RangeError,
      message,
    );
  }
  await assertRejects(
    () => divergence({ ...original, session: session([], 4) }, states),
    RangeError,
    "window 1 as its KL divergence must be finite: current value is NaN",
  );
});

Deno.test("stateBytes() is 4 bytes a token and hidden number", () => {
  assertEquals(stateBytes(32768, 576), 75_497_472);
});
