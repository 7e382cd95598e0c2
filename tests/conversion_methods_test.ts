// What conversion methods do beside their laws: choices, identities, sharing.

import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { UnsupportedModelError } from "../src/base/errors.ts";
import type {
  Conversion,
  ConversionContext,
} from "../src/conversion/method.ts";
import { methodByName } from "../src/conversion/methods/mod.ts";
import { openEngine } from "../src/engine/open.ts";
import type {
  DecoderModel,
  PartialRopeAttention,
} from "../src/model/decoder.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import { testContext } from "./fixtures/conversion_context.ts";
import { randomTokens, tinyModel } from "./fixtures/tiny_models.ts";

const engine = await openEngine("reference");

function contextOf(seed = 1, passes: 1 | 2 = 2): ConversionContext {
  const sequences = [0, 1].map((s) => randomTokens(seed * 10 + s, 40, 256));
  return testContext(engine, { sequences, passes });
}

async function convert(
  name: string,
  model: DecoderModel,
  options: Record<string, unknown>,
  context: ConversionContext = contextOf(),
): Promise<Conversion> {
  const method = methodByName(name);
  return await method.convert(model, method.options.parse(options), context);
}

const ROTARY = { freqFold: 4, qkRopeHeadDim: 8 };

Deno.test("freqFold auto doubles from C while the held-out NLL improves", async () => {
  const model = tinyModel({ seed: 1 });
  const cases = [
    { nll: [3, 4], asked: 2, m: 16, chosen: 1 },
    { nll: [5, 4, 3, 3], asked: 4, m: 16, chosen: 4 },
    { nll: [5, 4, 3, 2], asked: 4, m: 16, chosen: 8 },
    { nll: [5, 4, 6], asked: 3, m: 8, chosen: 4 },
    { nll: [1], asked: 1, m: 2, chosen: 8 },
  ];
  for (const { nll, asked, m, chosen } of cases) {
    for (
      const [name, rest] of [["partial-rope", {}], ["transmla", {
        kvLoraRank: 8,
      }]] as const
    ) {
      const tried: string[] = [];
      const context: ConversionContext = {
        ...contextOf(),
        heldOutNll(candidate) {
          tried.push(candidate.sha256);
          return Promise.resolve(nll[tried.length - 1]!);
        },
      };
      const { resolved } = await convert(name, model, {
        freqFold: "auto",
        qkRopeHeadDim: m,
        ...rest,
      }, context);
      assertEquals(resolved.freqFold, chosen);
      assertEquals(resolved.collapse, 16 / m);
      assertEquals(tried.length, asked);
      assertEquals(new Set(tried).size, asked);
    }
  }
});

Deno.test("a conversion's sha256 is that of all that decides it", async () => {
  const model = tinyModel({ seed: 1 });
  const options = { ...ROTARY, kvLoraRank: 20 };
  const sha = async (...args: Parameters<typeof convert>) =>
    (await convert(...args)).model.sha256;
  const first = await sha("transmla", model, options);
  assertEquals(await sha("transmla", tinyModel({ seed: 1 }), options), first);
  const others = [
    await sha("transmla", tinyModel({ seed: 2 }), options),
    await sha("transmla", model, { ...options, kvLoraRank: 21 }),
    await sha("transmla", model, { ...options, balanceKv: false }),
    await sha("transmla", model, options, contextOf(1, 1)),
    await sha("transmla", model, options, contextOf(2)),
    await sha("partial-rope", model, ROTARY),
    await sha("original", model, {}),
  ];
  assertEquals(new Set([first, ...others]).size, others.length + 1);
  assertEquals(others.at(-1), model.sha256);
});

Deno.test("two passes calibrate on the partial-RoPE model, one pass on the original alone", async () => {
  const model = tinyModel({ seed: 3 });
  const asked = async (passes: 1 | 2) => {
    const context = contextOf(1, passes);
    const models: string[] = [];
    await convert("transmla", model, { ...ROTARY, kvLoraRank: 20 }, {
      ...context,
      moments(subject) {
        models.push(subject.sha256);
        return context.moments(subject);
      },
    });
    return models;
  };
  const partial = await convert("partial-rope", model, ROTARY);
  assertEquals(await asked(1), [model.sha256]);
  assertEquals(await asked(2), [model.sha256, partial.model.sha256]);
});

Deno.test("variants that differ in rank read no layer's moments again", async () => {
  const model = tinyModel({ seed: 4 });
  const context = contextOf();
  let reads = 0;
  const counting: ConversionContext = {
    ...context,
    async moments(subject) {
      const moments = await context.moments(subject);
      return {
        ...moments,
        layer(index) {
          reads++;
          return moments.layer(index);
        },
      };
    },
  };
  await convert("transmla", model, { ...ROTARY, kvLoraRank: 20 }, counting);
  assertEquals(reads, 4);
  const swept = await convert(
    "transmla",
    model,
    { ...ROTARY, kvLoraRank: 9 },
    counting,
  );
  assertEquals(reads, 4);
  const alone = await convert("transmla", tinyModel({ seed: 4 }), {
    ...ROTARY,
    kvLoraRank: 9,
  });
  assertEquals(await swept.model.layer(1), await alone.model.layer(1));
});

Deno.test("a converted model shares all but attention with its original", async () => {
  const model = tinyModel({ seed: 5 });
  const before = await model.layer(1);
  const { model: converted } = await convert("transmla", model, {
    ...ROTARY,
    kvLoraRank: 20,
  });
  const after = await converted.layer(1);
  assert(after.mlp === before.mlp && after.inputNorm === before.inputNorm);
  assert(await converted.embedTokens() === await model.embedTokens());
  assert(await converted.lmHead() === await model.lmHead());
  assertNotEquals(after.attention.kind, before.attention.kind);
  await assertRejects(() => converted.layer(2), RangeError);
});

Deno.test("balanceKvNorm token is E||k_nope|| / E||v|| of the calibration tokens", async () => {
  const model = tinyModel({ seed: 6, bias: true });
  const context = contextOf();
  const { model: partial } = await convert(
    "partial-rope",
    model,
    ROTARY,
    context,
  );
  const { layers } = await convert("transmla", model, {
    ...ROTARY,
    kvLoraRank: 20,
    balanceKvNorm: "token",
    balanceKvRatio: 2,
  }, context);
  const moments = await context.moments(partial);
  const expected: number[] = [];
  for (const { layer } of layers) {
    const { kProj, vProj } = (await partial.layer(layer))
      .attention as PartialRopeAttention;
    const { reservoir, tokens } = await moments.layer(layer);
    assertEquals(reservoir.rows, tokens);
    let keys = 0;
    let values = 0;
    for (let t = 0; t < reservoir.rows; t++) {
      const h = reservoir.data.subarray(t * 64, (t + 1) * 64);
      const norm = ({ weight, bias }: typeof kProj, from: number) => {
        let square = 0;
        for (let row = from; row < 32; row++) {
          let sum = bias!.data[row]!;
          for (let i = 0; i < 64; i++) {
            sum += weight.data[row * 64 + i]! * h[i]!;
          }
          square += sum * sum;
        }
        return Math.sqrt(square);
      };
      keys += norm(kProj, ROTARY.qkRopeHeadDim);
      values += norm(vProj, 0);
    }
    expected.push(keys / (2 * values));
  }
  assertClose(layers.map((layer) => layer.keyValueRatio!), expected, {
    atol: 0,
    rtol: 1e-6,
    what: "ratio",
  });
});

Deno.test("pca weights sees the weights' energy, whatever the text", async () => {
  // One key-value head with RoPE on all of it: no nope keys, the PCA sees W_v alone.
  const model = tinyModel({ seed: 7, numKeyValueHeads: 1, bias: true });
  const options = {
    freqFold: 1,
    qkRopeHeadDim: 16,
    kvLoraRank: 5,
    pca: "weights",
  };
  const energies = async (seed: number) =>
    (await convert("transmla", model, options, contextOf(seed))).layers.map((
      layer,
    ) => [
      layer.totalEnergy!,
      layer.keptEnergy!,
      layer.keyValueRatio!,
    ]);
  const found = await energies(1);
  assertEquals(await energies(2), found);
  for (const [layer, [total, kept, ratio]] of found.entries()) {
    const { attention } = await model.layer(layer);
    assert(attention.kind === "gqa");
    const expected = attention.vProj.weight.data.reduce(
      (sum, w) => sum + w * w,
      0,
    );
    assertClose([total!], [expected], { atol: 0, rtol: 1e-9, what: "energy" });
    assert(kept! > 5 / 16 && kept! < 1);
    assertEquals(ratio, 1);
  }
});

Deno.test("methods refuse a model that is already converted", async () => {
  const { model } = await convert(
    "partial-rope",
    tinyModel({ seed: 8 }),
    ROTARY,
  );
  await assertRejects(
    () => convert("transmla", model, { ...ROTARY, kvLoraRank: 8 }),
    UnsupportedModelError,
    "as its attention must be gqa: current value is partialRope",
  );
});
