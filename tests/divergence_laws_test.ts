// What KL divergence and top-1 agreement obey, whatever the conversion, in the
// engines that every machine has.

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Engine } from "../src/engine/engine.ts";
import { openEngine } from "../src/engine/open.ts";
import { divergence, windowStates } from "../src/evaluation/divergence.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { convert, fullyRotated } from "./fixtures/laws.ts";
import { randomTokens, tinyModel } from "./fixtures/tiny_models.ts";

const WINDOW = { windowTokens: 24, tokens: 96 };

/** Divergence of a variant on seeded windows. */
async function between(
  engine: Engine,
  original: DecoderModel,
  variant: DecoderModel,
) {
  const ids = randomTokens(71, WINDOW.tokens, original.config.vocabSize);
  const first = await engine.open(original);
  const states = await windowStates(
    { model: original, session: first },
    ids,
    WINDOW,
  );
  await first.close();
  const session = await engine.open(variant);
  const scores = await divergence({ model: variant, session }, states);
  await session.close();
  assertEquals(scores.windowKl.length, 4);
  assert(
    scores.windowKl.every((nats) => nats >= -1e-6),
    `KL is not negative: ${scores.windowKl}`,
  );
  return scores;
}

for (const name of ["reference", "onnx"] as const) {
  Deno.test(`${name}: the original diverges from itself by nothing, and an exact conversion by rounding`, async () => {
    const engine = await openEngine(name);
    const reference = await openEngine("reference");
    const model = tinyModel({ seed: 61, bias: true });
    const self = await between(engine, model, model);
    assertAlmostEquals(self.klNats, 0, 1e-6);
    assertEquals(self.top1Agreement, 1);
    const rotated = await fullyRotated(reference, model);
    const exact = await between(engine, model, rotated);
    assertAlmostEquals(exact.klNats, 0, 1e-6);
    assertEquals(exact.top1Agreement, 1);
    const rotary = { freqFold: 2, qkRopeHeadDim: 8 };
    const partial = await convert(reference, model, "partial-rope", rotary);
    const full = await convert(reference, model, "transmla", {
      ...rotary,
      kvLoraRank: "full",
    });
    const same = await between(engine, partial.model, full.model);
    assertAlmostEquals(same.klNats, 0, 1e-6);
    assertEquals(same.top1Agreement, 1);
    await engine.close();
  });

  Deno.test(`${name}: a smaller rank diverges more`, async () => {
    const engine = await openEngine(name);
    const reference = await openEngine("reference");
    const model = tinyModel({ seed: 62 });
    let previous = 0;
    for (const kvLoraRank of [24, 6, 2]) {
      const { model: converted } = await convert(reference, model, "transmla", {
        freqFold: 2,
        qkRopeHeadDim: 8,
        kvLoraRank,
      });
      const { klNats, klStderr, top1Agreement } = await between(
        engine,
        model,
        converted,
      );
      assert(klNats > previous, `rank ${kvLoraRank}: ${klNats}`);
      assert(klStderr > 0 && klStderr < klNats);
      assert(top1Agreement > 0 && top1Agreement < 1);
      previous = klNats;
    }
    await engine.close();
  });
}
