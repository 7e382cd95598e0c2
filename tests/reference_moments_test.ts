// Token weights and attention sums of the reference engine's moments, against
// attention weights that are computed here from the definitions in decoder.ts.

import { assertEquals, assertRejects } from "@std/assert";
import { openEngine } from "../src/engine/open.ts";
import type { Attention, DecoderModel, Linear } from "../src/model/decoder.ts";
import type { AttentionSums } from "../src/model/moments.ts";
import {
  forward,
  newCaches,
  readWeights,
} from "../src/model/reference_forward.ts";
import { rotate } from "../src/model/rope.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import { tinyKindsModel } from "./fixtures/tiny_kinds.ts";
import { randomTokens } from "./fixtures/tiny_models.ts";

const VOCAB = 61;

/** Every kind, with heads that share keys and heads that do not. */
async function models(): Promise<DecoderModel[]> {
  const sizes = { vocabSize: VOCAB, hiddenSize: 28, headDim: 8 } as const;
  const kinds = ["gqa", "partialRope", "mla"] as const;
  return [
    await tinyKindsModel({ ...sizes, seed: 51, kinds, bias: "everywhere" }),
    await tinyKindsModel({ ...sizes, seed: 52, kinds, numKeyValueHeads: 4 }),
  ];
}

/** W x + b of one row. */
function apply({ weight, bias }: Linear, x: Float64Array): Float64Array {
  const width = x.length;
  return Float64Array.from(
    { length: weight.shape[0]! },
    (_, o) =>
      x.reduce(
        (sum, value, i) => sum + weight.data[o * width + i]! * value,
        bias?.data[o] ?? 0,
      ),
  );
}

/** The dot product of a query of head h at position i with the key at j, scaled. */
function scoresOf(
  attention: Attention,
  rows: readonly Float64Array[],
): (h: number, i: number, j: number) => number {
  const { numAttentionHeads: H, numKeyValueHeads: G, rotary } = attention;
  const group = (h: number) => Math.floor(h * G / H);
  const dot = (a: Float64Array, b: Float64Array) =>
    attention.softmaxScale * a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const turned = (x: Float64Array, start: number, position: number) => {
    const copy = x.slice();
    rotate(copy, start, rotary, position);
    return copy;
  };
  const q = rows.map((row) => apply(attention.qProj, row));
  switch (attention.kind) {
    case "gqa": {
      const d = attention.headDim;
      const k = rows.map((row) => apply(attention.kProj, row));
      const part = (x: Float64Array, n: number, position: number) =>
        turned(x.slice(n * d, (n + 1) * d), 0, position);
      return (h, i, j) => dot(part(q[i]!, h, i), part(k[j]!, group(h), j));
    }
    case "partialRope": {
      const { headDim: d, keyBasis } = attention;
      const merged = G * d;
      const k = rows.map((row, j) => turned(apply(attention.kProj, row), 0, j));
      return (h, i, j) => {
        const mapped = Float64Array.from({ length: merged }, (_, row) => {
          let sum = 0;
          for (let e = 0; e < d; e++) {
            sum += keyBasis.data[row * merged + group(h) * d + e]! *
              q[i]![h * d + e]!;
          }
          return sum;
        });
        return dot(turned(mapped, 0, i), k[j]!);
      };
    }
    case "mla": {
      const { qkNopeHeadDim: n, qkRopeHeadDim: m, vHeadDim: v } = attention;
      const { kvLoraRank: r, kvBProj } = attention;
      const down = rows.map((row) => apply(attention.kvAProjWithMqa, row));
      const keys = down.map((row, j) => ({
        nope: apply({ weight: kvBProj }, row.slice(0, r)),
        rotary: turned(row.slice(r), 0, j),
      }));
      return (h, i, j) => {
        const query = turned(
          q[i]!.slice(h * (n + m), (h + 1) * (n + m)),
          n,
          i,
        );
        const start = group(h) * (n + v);
        return dot(query.slice(0, n), keys[j]!.nope.slice(start, start + n)) +
          dot(query.slice(n), keys[j]!.rotary);
      };
    }
    default:
      return attention satisfies never;
  }
}

function sumsByDefinition(
  attention: Attention,
  rows: readonly Float64Array[],
): AttentionSums {
  const score = scoresOf(attention, rows);
  const received = new Float64Array(rows.length);
  const massByDistance = new Float64Array(rows.length);
  for (let h = 0; h < attention.numAttentionHeads; h++) {
    for (let i = 0; i < rows.length; i++) {
      const powers = Array.from(
        { length: i + 1 },
        (_, j) => Math.exp(score(h, i, j)),
      );
      const total = powers.reduce((sum, power) => sum + power, 0);
      for (const [j, power] of powers.entries()) {
        received[j]! += power / total;
        massByDistance[i - j]! += power / total;
      }
    }
  }
  return { received, massByDistance };
}

Deno.test("moments() sums attention weights by token and by distance, for every kind", async () => {
  const engine = await openEngine("reference");
  for (const model of await models()) {
    const session = await engine.open(model);
    const weights = await readWeights(model);
    const batch = [1, 7, 4].map((length) =>
      randomTokens(length, length, VOCAB)
    );
    const calls: string[] = [];
    const delivered: AttentionSums[] = [];
    await session.moments(batch, {
      add: (layer) => void calls.push(`add ${layer}`),
      attention(layer, sums) {
        calls.push(`attention ${layer}`);
        delivered.push(sums);
      },
    });
    const layers = [0, 1, 2];
    assertEquals(
      calls,
      batch.flatMap(() =>
        layers.flatMap((layer) => [`add ${layer}`, `attention ${layer}`])
      ),
    );
    for (const [b, sequence] of batch.entries()) {
      const inputs: Float64Array[] = [];
      forward(weights, sequence, newCaches(weights, sequence.length), {
        tap: (_, y) => inputs.push(y),
      });
      for (const layer of layers) {
        const y = inputs[layer]!;
        const width = y.length / sequence.length;
        const rows = Array.from(
          sequence,
          (_, t) => y.slice(t * width, (t + 1) * width),
        );
        const { attention } = weights.layers[layer]!;
        const expected = sumsByDefinition(attention, rows);
        const actual = delivered[b * layers.length + layer]!;
        const what = `${attention.kind} of sequence ${b}`;
        for (const name of ["received", "massByDistance"] as const) {
          assertClose(actual[name], expected[name], {
            atol: 1e-11,
            what: `${name} of ${what}`,
          });
        }
        const mass = actual.massByDistance.reduce((sum, p) => sum + p, 0);
        assertClose(
          [mass],
          [attention.numAttentionHeads * sequence.length],
          { atol: 1e-11, what: `whole mass of ${what}` },
        );
      }
    }
    await session.close();
  }
});

Deno.test("moments() weighs tokens in the Gram matrices, and in nothing else", async () => {
  const session = await (await openEngine("reference")).open(
    (await models())[0]!,
  );
  const batch = [3, 5].map((length) => randomTokens(length, length, VOCAB));
  const tokenWeights = [
    Float32Array.of(0, 1, 2.5),
    Float32Array.of(0.25, 3, 0, 1, 7),
  ];
  const collect = async (weights?: readonly Float32Array[]) => {
    const all: { gram: Float64Array; hidden: Float32Array }[] = [];
    const attention: AttentionSums[] = [];
    await session.moments(batch, {
      add: (_, gram, hidden) => void all.push({ gram, hidden }),
      attention: (_, sums) => attention.push(sums),
    }, weights && { tokenWeights: weights });
    return { all, attention };
  };
  const plain = await collect();
  const weighted = await collect(tokenWeights);
  assertEquals(weighted.attention, plain.attention);
  for (const [index, { gram, hidden }] of weighted.all.entries()) {
    const weights = tokenWeights[Math.floor(index / 3)]!;
    assertEquals(hidden, plain.all[index]!.hidden);
    const width = hidden.length / weights.length;
    const entry = (t: number, i: number) =>
      i < width ? hidden[t * width + i]! : 1;
    const size = width + 1;
    const expected = Array.from(
      { length: size * size },
      (_, at) =>
        weights.reduce(
          (sum, weight, t) =>
            sum +
            weight * entry(t, Math.floor(at / size)) * entry(t, at % size),
          0,
        ),
    );
    // Rows are delivered in f32.
    assertClose(gram, expected, { atol: 1e-5, what: `gram ${index}` });
    assertEquals(gram.at(-1), weights.reduce((sum, w) => sum + w, 0));
  }
  await assertRejects(
    () => collect([tokenWeights[0]!]),
    RangeError,
    "for each of 2 sequences: current value is 1",
  );
});
