// The reference forward pass against identities that hold exactly, up to f64
// rounding, for any weights.

import { assertEquals, assertThrows } from "@std/assert";
import type { Tensor } from "../src/base/tensor.ts";
import type {
  DecoderModel,
  GqaAttention,
  MlaAttention,
  PartialRopeAttention,
} from "../src/model/decoder.ts";
import { cacheWidths } from "../src/model/decoder.ts";
import {
  attend,
  type MlaForm,
  newLayerCache,
} from "../src/model/reference_attention.ts";
import {
  forward,
  logitsOf,
  newCaches,
  readWeights,
} from "../src/model/reference_forward.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import {
  asFullRankMla,
  asFullyRotatedPartialRope,
  gqaByDefinition,
} from "./fixtures/exact_equivalents.ts";
import { randomPartialRope, tinyKindsModel } from "./fixtures/tiny_kinds.ts";
import {
  gaussians,
  randomTinyShape,
  randomTokens,
  tinyModel,
} from "./fixtures/tiny_models.ts";

const ATOL = 1e-10;

/** Logits of every token, run in pieces of the given lengths. */
async function logitsInPieces(
  model: DecoderModel,
  tokens: Int32Array,
  pieces: readonly number[],
  form: MlaForm,
): Promise<Float64Array> {
  const weights = await readWeights(model);
  const caches = newCaches(weights, tokens.length);
  const vocabSize = model.config.vocabSize;
  const logits = new Float64Array(tokens.length * vocabSize);
  let start = 0;
  for (const piece of pieces) {
    const part = tokens.subarray(start, start + piece);
    const hidden = forward(weights, part, caches, { form });
    logits.set(logitsOf(weights, hidden, piece), start * vocabSize);
    start += piece;
  }
  assertEquals(start, tokens.length);
  return logits;
}

/** The attention of a seeded layer and a normed input of T rows for it. */
async function layerOf(seed: number, bias: boolean | "everywhere", rows = 9) {
  const shape = randomTinyShape(seed);
  const model = tinyModel({ ...shape, seed, bias });
  const attention = (await model.layer(0)).attention as GqaAttention;
  const gaussian = gaussians(seed + 1);
  const y = Float64Array.from(
    { length: rows * shape.hiddenSize },
    () => gaussian(),
  );
  return { attention, y, rows };
}

function run(
  attention: GqaAttention | PartialRopeAttention | MlaAttention,
  y: Float64Array,
  rows: number,
  form: MlaForm = "expanded",
): Float64Array {
  return attend(attention, y, rows, newLayerCache(attention, rows), { form });
}

function times(weight: Tensor, x: readonly number[], bias?: Tensor): number[] {
  const [out, into] = weight.shape as [number, number];
  return Array.from({ length: out }, (_, o) => {
    let sum = bias?.data[o] ?? 0;
    for (let i = 0; i < into; i++) sum += weight.data[o * into + i]! * x[i]!;
    return sum;
  });
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  const bias = ([false, true, "everywhere"] as const)[
    Math.floor(seed / 2) % 3
  ]!;

  Deno.test(`attend() of GQA follows the definition, seed ${seed}`, async () => {
    const { attention, y, rows } = await layerOf(seed, bias);
    const actual = run(attention, y, rows);
    const width = actual.length / rows;
    for (let t = 0; t < rows; t++) {
      const heads = gqaByDefinition(attention, y, t);
      const { weight, bias } = attention.oProj;
      assertClose(
        actual.subarray(t * width, (t + 1) * width),
        times(weight, heads, bias),
        { atol: ATOL, what: `position ${t}` },
      );
    }
  });

  Deno.test(`attend() of partial RoPE with every dim rotated equals GQA, seed ${seed}`, async () => {
    const { attention, y, rows } = await layerOf(seed, bias);
    const partial = asFullyRotatedPartialRope(attention);
    assertClose(run(partial, y, rows), run(attention, y, rows), {
      atol: ATOL,
      what: "attention output",
    });
  });

  Deno.test(`attend() of MLA at full rank equals partial RoPE, seed ${seed}`, async () => {
    const { attention, y, rows } = await layerOf(seed, bias);
    const partial = randomPartialRope(attention, seed) as PartialRopeAttention;
    const mla = asFullRankMla(partial);
    const expected = run(partial, y, rows);
    for (const form of ["expanded", "absorbed"] as const) {
      // f32 rounding of the folded query weights
      assertClose(run(mla, y, rows, form), expected, {
        atol: 1e-5,
        what: form,
      });
    }
  });

  Deno.test(`forward() token by token equals one prefill, seed ${seed}`, async () => {
    const shape = randomTinyShape(seed);
    const model = await tinyKindsModel({
      ...shape,
      seed,
      bias,
      kinds: ["mla", "gqa", "partialRope", "mla"],
    });
    const tokens = randomTokens(seed, 14, shape.vocabSize);
    const whole = await logitsInPieces(model, tokens, [14], "expanded");
    const ones = Array.from({ length: 14 }, () => 1);
    for (
      const [pieces, form] of [
        [[14], "absorbed"],
        [ones, "absorbed"],
        [ones, "expanded"],
        [[5, 1, 1, 7], "absorbed"],
        [[8, ...ones.slice(8)], "absorbed"],
      ] as const
    ) {
      assertClose(
        await logitsInPieces(model, tokens, pieces, form),
        whole,
        { atol: ATOL, what: `pieces ${pieces} ${form}` },
      );
    }
  });
}

Deno.test("newLayerCache() holds what decoder.ts counts and no more", async () => {
  const model = await tinyKindsModel({
    seed: 7,
    kinds: ["gqa", "partialRope", "mla"],
  });
  for (let l = 0; l < 3; l++) {
    const { attention } = await model.layer(l);
    const { first, second } = cacheWidths(attention);
    const cache = newLayerCache(attention, 10);
    assertEquals(cache.first.length, 10 * first);
    assertEquals(cache.second.length, 10 * second);
  }
});

Deno.test("forward() rejects token ids outside the vocabulary", async () => {
  const weights = await readWeights(tinyModel({ seed: 1, vocabSize: 50 }));
  for (const id of [-1, 50]) {
    assertThrows(
      () => forward(weights, Int32Array.of(3, id), newCaches(weights, 2)),
      RangeError,
      `Cannot embed token 1 as its id must be in 0..49: current value is ${id}`,
    );
  }
});

Deno.test("attend() rejects more tokens than the cache has room for", async () => {
  const weights = await readWeights(tinyModel({ seed: 1 }));
  const caches = newCaches(weights, 3);
  forward(weights, Int32Array.of(1, 2), caches);
  assertThrows(
    () => forward(weights, Int32Array.of(1, 2), caches),
    RangeError,
    "Cannot append 2 tokens to a cache of 2 as its capacity is 3",
  );
});
