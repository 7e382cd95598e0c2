import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Session } from "../engine/engine.ts";
import type { MomentsSink } from "../model/moments.ts";
import { collectMoments } from "./moments.ts";

const SHAPE = { numHiddenLayers: 2, hiddenSize: 3 };

/** h of a token: known numbers that differ by layer. */
function row(layer: number, token: number): number[] {
  return [token + 1, layer - token, 0.5 * token * layer];
}

/** A session that delivers rows made of token ids, a batch a sequence. */
function fakeSession(spoil?: (gram: Float64Array) => void): Session {
  const moments = (
    sequences: readonly Int32Array[],
    sink: MomentsSink,
  ): Promise<void> => {
    for (const tokens of sequences) {
      for (let layer = 0; layer < SHAPE.numHiddenLayers; layer++) {
        const rows = [...tokens].map((token) => row(layer, token));
        const gram = gramOf(rows);
        spoil?.(gram);
        sink.add(layer, gram, Float32Array.from(rows.flat()));
      }
    }
    return Promise.resolve();
  };
  return { moments } as Session;
}

function gramOf(rows: readonly number[][]): Float64Array {
  const gram = new Float64Array(16);
  for (const h of rows.map((values) => [...values, 1])) {
    h.forEach((x, i) => h.forEach((y, j) => gram[i * 4 + j]! += x * y));
  }
  return gram;
}

Deno.test("collectMoments() sums all batches and keeps the reservoir's rows", async () => {
  // More sequences than one call to the engine takes, of unequal lengths.
  const sequences = Array.from(
    { length: 19 },
    (_, s) => Int32Array.from({ length: 1 + s % 3 }, (_, t) => 3 * s + t),
  );
  const tokens = sequences.flatMap((sequence) => [...sequence]);
  const progress: number[] = [];
  const layers = await collectMoments(fakeSession(), sequences, SHAPE, {
    seed: 42,
    progress: (done, total) => {
      assertEquals(total, 19);
      progress.push(done);
    },
  });
  assertEquals(progress, [8, 16, 19]);
  layers.forEach((moments, layer) => {
    const rows = tokens.map((token) => row(layer, token));
    assertEquals(moments.tokens, tokens.length);
    assertEquals(moments.gram.rows, 4);
    assertEquals(moments.gram.data, gramOf(rows));
    assertEquals([...moments.reservoir.data], rows.flat());
  });
  const [small] = await collectMoments(fakeSession(), sequences, SHAPE, {
    seed: 42,
    reservoirRows: 5,
  });
  assertEquals(small!.reservoir.rows, 5);
  assert(small!.reservoir.data.length === 15);
});

Deno.test("collectMoments() refuses no tokens, NaN and an engine that loses tokens", async () => {
  const collect = (session: Session, ...sequences: Int32Array[]) =>
    collectMoments(session, sequences, SHAPE, { seed: 1 });
  await assertRejects(() => collect(fakeSession()), RangeError, "at least one");
  await assertRejects(
    () => collect(fakeSession((gram) => gram[0] = NaN), Int32Array.of(1, 2)),
    RangeError,
    "must be finite: element 0 is NaN",
  );
  await assertRejects(
    () => collect(fakeSession((gram) => gram[15] = 1), Int32Array.of(1, 2)),
    RangeError,
    "must cover 2 tokens: current value is 2 rows, 1 in the Gram matrix",
  );
});
