// What must hold for any model that TransMLA converts, on seeded tiny models with
// and without biases, G = H and G < H. Arithmetic is f64 (reference engine);
// converted weights are rounded to f32, which is all that tolerances allow for.

import { assert, assertEquals } from "@std/assert";
import { certify } from "../src/conversion/certificate.ts";
import { openEngine } from "../src/engine/open.ts";
import { cacheTheory } from "../src/evaluation/cache_bytes.ts";
import { perplexity } from "../src/evaluation/perplexity.ts";
import { cacheWidths, type DecoderModel } from "../src/model/decoder.ts";
import {
  forward,
  logitsOf,
  newCaches,
  readWeights,
} from "../src/model/reference_forward.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import { testContext } from "./fixtures/conversion_context.ts";
import {
  calibrationOf,
  convert,
  fullyRotated,
  LAW_MODELS,
  lawSeven,
  logits,
  rotaryChoices,
  withoutRope,
} from "./fixtures/laws.ts";
import { randomTokens, tinyModel } from "./fixtures/tiny_models.ts";

/** Rounding of converted weights to f32, carried through two or three layers. */
const F32_WEIGHTS = 5e-5;

for (const { name, ...options } of LAW_MODELS) {
  Deno.test(`law 1: F = C = 1 with RoPE on all dims gives the original's logits (${name})`, async () => {
    const engine = await openEngine("reference");
    const model = tinyModel(options);
    const converted = await fullyRotated(engine, model);
    assertClose(await logits(engine, converted), await logits(engine, model), {
      atol: F32_WEIGHTS,
      what: "logits",
    });
  });

  Deno.test(`law 2: without RoPE any F gives the original's logits without RoPE (${name})`, async () => {
    const engine = await openEngine("reference");
    const model = tinyModel(options);
    const bare = withoutRope(model);
    const expected = await logits(engine, bare);
    const original = await logits(engine, model);
    assert(
      expected.some((value, i) =>
        Math.abs(value - original[i]!) > 20 * F32_WEIGHTS
      ),
    );
    for (const choice of rotaryChoices(model.config.headDim)) {
      const { model: converted } = await convert(
        engine,
        model,
        "partial-rope",
        {
          ...choice,
          rope: false,
        },
      );
      assertClose(await logits(engine, converted), expected, {
        atol: F32_WEIGHTS,
        what: `logits of ${JSON.stringify(choice)}`,
      });
    }
  });

  Deno.test(`law 3: at full rank MLA gives the partial-RoPE model's logits (${name})`, async () => {
    const engine = await openEngine("reference");
    const model = tinyModel(options);
    const variants = [
      { balanceKv: false },
      { balanceKv: true },
      { balanceKv: true, balanceKvNorm: "token", balanceKvRatio: 3 },
      { balanceKv: true, pca: "weights" },
    ];
    for (const choice of rotaryChoices(model.config.headDim)) {
      const partial = await convert(engine, model, "partial-rope", choice);
      const expected = await logits(engine, partial.model);
      for (const [index, variant] of variants.entries()) {
        const mla = await convert(engine, model, "transmla", {
          ...choice,
          ...variant,
          kvLoraRank: "full",
        }, index % 2 === 0 ? 2 : 1);
        assertClose(await logits(engine, mla.model), expected, {
          atol: F32_WEIGHTS,
          what: `logits of ${JSON.stringify({ ...choice, ...variant })}`,
        });
      }
    }
  });

  Deno.test(`law 4: absorbed and expanded MLA are equal, prefill and decode (${name})`, async () => {
    const engine = await openEngine("reference");
    const model = tinyModel(options);
    const { headDim, vocabSize } = model.config;
    const { model: converted } = await convert(engine, model, "transmla", {
      freqFold: 2,
      qkRopeHeadDim: headDim / 2,
      kvLoraRank: 3,
    });
    const weights = await readWeights(converted);
    const tokens = randomTokens(8, 20, vocabSize);
    const runs = (["absorbed", "expanded"] as const).map((form) => {
      const caches = newCaches(weights, tokens.length);
      const prefix = tokens.subarray(0, 12);
      const prefill = logitsOf(
        weights,
        forward(weights, prefix, caches, { form }),
        12,
      );
      const decoded = [...tokens.subarray(12)].flatMap((token) => [
        ...logitsOf(
          weights,
          forward(weights, Int32Array.of(token), caches, { form }),
          1,
        ),
      ]);
      return [...prefill, ...decoded];
    });
    assertClose(runs[0]!, runs[1]!, { atol: 1e-9, what: "logits" });
  });

  Deno.test(`law 5: decoding token by token equals one prefill (${name})`, async () => {
    const engine = await openEngine("reference");
    const model = tinyModel(options);
    const { model: converted } = await convert(engine, model, "transmla", {
      freqFold: "auto",
      qkRopeHeadDim: model.config.headDim,
      kvLoraRank: 4,
    });
    const prompt = randomTokens(9, 10, model.config.vocabSize);
    const session = await engine.open(converted);
    await session.prefill([prompt], 8);
    const { tokens } = await session.decode(8);
    const decoded = (await session.lastLogits())[0]!;
    await session.prefill([Int32Array.of(...prompt, ...tokens[0]!)]);
    assertClose(decoded, (await session.lastLogits())[0]!, {
      atol: 1e-9,
      what: "logits",
    });
    await session.close();
  });
}

Deno.test("law 6: 8 query heads, 4 key-value heads, d 128: 1024 numbers become 192", async () => {
  const engine = await openEngine("reference");
  const model = tinyModel({
    seed: 21,
    numAttentionHeads: 8,
    numKeyValueHeads: 4,
    headDim: 128,
    hiddenSize: 48,
    numHiddenLayers: 1,
    vocabSize: 64,
  });
  const { model: converted } = await convert(engine, model, "transmla", {
    freqFold: 1,
    qkRopeHeadDim: 128,
    kvLoraRank: 64,
  }, 1);
  const widths = async (from: DecoderModel) =>
    cacheWidths((await from.layer(0)).attention);
  assertEquals(await widths(model), { first: 512, second: 512 });
  assertEquals(await widths(converted), { first: 64, second: 128 });
  const before = (await cacheTheory(model, 4)).elementsPerTokenPerLayer;
  const after = (await cacheTheory(converted, 4)).elementsPerTokenPerLayer;
  assertEquals([before, after, 1 - after / before], [1024, 192, 0.8125]);
});

Deno.test("law 7: perplexity does not depend on batch size, window order or engine", async () => {
  const reference = await openEngine("reference");
  const { subjects, windowTokens, batches } = await lawSeven(reference);
  for (const subject of subjects) {
    const values: number[] = [];
    for (const name of ["reference", "onnx"] as const) {
      const engine = await openEngine(name);
      const session = await engine.open(subject);
      for (const [text, batch] of batches) {
        const { meanNll } = await perplexity(session, text, {
          windowTokens,
          tokens: "all",
          batch,
        });
        values.push(meanNll);
      }
      await session.close();
      await engine.close();
    }
    // The first three are f64, the last three f32.
    assertClose(values.slice(0, 3), Array(3).fill(values[0]), {
      atol: 1e-7,
      what: "reference",
    });
    assertClose(values, Array(6).fill(values[0]), {
      atol: 1e-5,
      what: "mean NLL",
    });
  }
});

Deno.test("certify() finds rounding alone at full rank, and what a rank loses", async () => {
  const engine = await openEngine("reference");
  const model = tinyModel({ seed: 41, bias: true });
  const moments = await testContext(engine, { sequences: calibrationOf(model) })
    .moments(model);
  const rotary = { freqFold: 4, qkRopeHeadDim: 8 };
  const errors = async (name: string, options: Record<string, unknown>) => {
    const { model: converted } = await convert(engine, model, name, options);
    return await certify(model, converted, moments);
  };
  for (
    const exact of [
      await errors("original", {}),
      await errors("partial-rope", rotary),
      await errors("transmla", { ...rotary, kvLoraRank: "full" }),
    ]
  ) {
    assertEquals(exact.length, 2);
    for (const layer of exact) {
      assert(layer.scoreError < 1e-6, `score error ${layer.scoreError}`);
      assert(layer.valueError < 1e-6, `value error ${layer.valueError}`);
      assertEquals(
        layer.basisError === undefined,
        layer.kind !== "partialRope",
      );
      assert((layer.basisError ?? 0) < 1e-6);
    }
  }
  let previous = 0;
  for (const kvLoraRank of [48, 24, 6]) {
    const [layer] = await errors("transmla", { ...rotary, kvLoraRank });
    assert(layer!.valueError > previous && layer!.scoreError > 1e-6);
    previous = layer!.valueError;
  }
});
