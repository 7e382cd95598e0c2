// The laws of laws_test.ts through the webgpu engine: conversions are the
// reference engine's, what they compute is the GPU's.

import { assert } from "@std/assert";
import { openEngine } from "../src/engine/open.ts";
import { perplexity } from "../src/evaluation/perplexity.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import {
  convert,
  fullyRotated,
  LAW_MODELS,
  lawSeven,
  logits,
  rotaryChoices,
  withoutRope,
} from "./fixtures/laws.ts";
import { requirement } from "./fixtures/requirements.ts";
import { randomTokens, tinyModel } from "./fixtures/tiny_models.ts";

/** f32 throughout, with logits of order 1 to 10. */
const F32 = 2e-4;

const { ignore } = requirement("deno-gpu");

// Two models of the nine: shaders of every size compile slowly on the CPU.
for (const index of [0, 3]) {
  const { name, ...options } = LAW_MODELS[index]!;
  const model = tinyModel(options);
  // The largest and the smallest m.
  const choices = [
    rotaryChoices(model.config.headDim)[0]!,
    rotaryChoices(model.config.headDim).at(-1)!,
  ];

  Deno.test({
    name:
      `webgpu, law 1: F = C = 1 with RoPE on all dims gives the original's logits (${name})`,
    ignore,
    async fn() {
      const reference = await openEngine("reference");
      const engine = await openEngine("webgpu");
      const converted = await fullyRotated(reference, model);
      assertClose(
        await logits(engine, converted),
        await logits(engine, model),
        { atol: F32, what: "logits" },
      );
      await engine.close();
    },
  });

  Deno.test({
    name:
      `webgpu, law 2: without RoPE any F gives the original's logits without RoPE (${name})`,
    ignore,
    async fn() {
      const reference = await openEngine("reference");
      const engine = await openEngine("webgpu");
      const expected = await logits(engine, withoutRope(model));
      const original = await logits(engine, model);
      assert(
        expected.some((value, i) => Math.abs(value - original[i]!) > 20 * F32),
      );
      for (const choice of choices) {
        const { model: converted } = await convert(
          reference,
          model,
          "partial-rope",
          { ...choice, rope: false },
        );
        assertClose(await logits(engine, converted), expected, {
          atol: F32,
          what: `logits of ${JSON.stringify(choice)}`,
        });
      }
      await engine.close();
    },
  });

  Deno.test({
    name:
      `webgpu, law 3: at full rank MLA gives the partial-RoPE model's logits (${name})`,
    ignore,
    async fn() {
      const reference = await openEngine("reference");
      const engine = await openEngine("webgpu");
      for (const choice of choices) {
        const partial = await convert(
          reference,
          model,
          "partial-rope",
          choice,
        );
        const mla = await convert(reference, model, "transmla", {
          ...choice,
          kvLoraRank: "full",
        });
        assertClose(
          await logits(engine, mla.model),
          await logits(engine, partial.model),
          { atol: F32, what: `logits of ${JSON.stringify(choice)}` },
        );
      }
      await engine.close();
    },
  });

  Deno.test({
    name:
      `webgpu, laws 4 and 5: decoding token by token, absorbed, equals one expanded prefill (${name})`,
    ignore,
    async fn() {
      const reference = await openEngine("reference");
      const engine = await openEngine("webgpu");
      const { model: converted } = await convert(
        reference,
        model,
        "transmla",
        {
          freqFold: "auto",
          qkRopeHeadDim: model.config.headDim,
          kvLoraRank: 4,
        },
      );
      const prompt = randomTokens(9, 10, model.config.vocabSize);
      const session = await engine.open(converted);
      await session.prefill([prompt], 8);
      const { tokens } = await session.decode(8);
      const decoded = (await session.lastLogits())[0]!;
      await session.prefill([Int32Array.of(...prompt, ...tokens[0]!)]);
      assertClose(decoded, (await session.lastLogits())[0]!, {
        atol: F32,
        what: "logits",
      });
      await engine.close();
    },
  });
}

Deno.test({
  name:
    "webgpu, law 7: perplexity does not depend on batch size, window order or engine",
  ignore,
  async fn() {
    const reference = await openEngine("reference");
    const engine = await openEngine("webgpu");
    const { subjects, ids, windowTokens, batches } = await lawSeven(
      reference,
    );
    for (const subject of subjects) {
      const session = await engine.open(subject);
      const values: number[] = [];
      for (const [text, batch] of batches) {
        const options = { windowTokens, tokens: "all", batch } as const;
        values.push((await perplexity(session, text, options)).meanNll);
      }
      const exact = await perplexity(await reference.open(subject), ids, {
        windowTokens,
        tokens: "all",
      });
      assertClose(values, Array(3).fill(exact.meanNll), {
        atol: 1e-5,
        what: "mean NLL",
      });
      await session.close();
    }
    await engine.close();
  },
});
