// Layers whose keys and values are wider than their input: converted from
// factors of their Gram matrix, with the dense path's numbers.

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  balancedGram,
  jointPca,
  jointSpectrum,
} from "../src/conversion/joint_pca.ts";
import {
  isFactored,
  keyBlock,
  rotaryKeyEnergy,
  rotatedGram,
} from "../src/conversion/key_value_gram.ts";
import { channelRatio } from "../src/conversion/balance_kv.ts";
import { freqFoldOf } from "../src/conversion/freq_fold.ts";
import { affineMatrix } from "../src/conversion/merge_heads.ts";
import { methodByName } from "../src/conversion/methods/mod.ts";
import { roRopeRotations, rotationBasis } from "../src/conversion/ro_rope.ts";
import { openEngine } from "../src/engine/open.ts";
import { diagonal, stackRows, trace } from "../src/linalg/blocks.ts";
import { seededNoise } from "../src/linalg/orthonormal.ts";
import { quadraticForm } from "../src/linalg/quadratic_form.ts";
import type { GqaAttention } from "../src/model/decoder.ts";
import { testContext } from "./fixtures/conversion_context.ts";
import { tinyModel } from "./fixtures/tiny_models.ts";

/** 2·G·d = 1152 over D + 1 = 65. */
function wideModel() {
  return tinyModel({
    seed: 3,
    numAttentionHeads: 18,
    numKeyValueHeads: 18,
    headDim: 32,
    numHiddenLayers: 1,
    bias: true,
  });
}

Deno.test("a wide layer's conversion has the dense path's balance and kept energy", async () => {
  const model = wideModel();
  const engine = await openEngine("onnx");
  const noise = seededNoise(5);
  const sequences = Array.from(
    { length: 6 },
    () =>
      Int32Array.from(
        { length: 40 },
        () => Math.floor((noise() + 1) / 2 * model.config.vocabSize),
      ),
  );
  const context = testContext(engine, { sequences, passes: 1 });
  const method = methodByName("transmla");
  const m = 32;
  for (const pca of ["activations", "weights"] as const) {
    const options = method.options.parse({
      freqFold: 4,
      qkRopeHeadDim: m,
      kvLoraRank: 48,
      pca,
    });
    const { layers } = await method.convert(model, options, context);
    const moments = await context.moments(model);
    for (const report of layers) {
      const { attention } = await model.layer(report.layer);
      assert(attention.kind === "gqa" && isFactored(attention));
      const { gram: s } = await moments.layer(report.layer);
      const expected = await denseReport(attention, s, 4, m, 48, pca);
      const named = { ...report } as Record<string, number>;
      for (const [name, value] of Object.entries(expected)) {
        assertAlmostEquals(
          named[name]! / value,
          1,
          1e-8,
          `${pca}, layer ${report.layer}, ${name}`,
        );
      }
    }
  }
  await engine.close();
});

async function denseReport(
  attention: GqaAttention,
  s: Parameters<typeof quadraticForm>[1],
  freqFold: number,
  m: number,
  rank: number,
  pca: "activations" | "weights",
) {
  const weights = stackRows(
    affineMatrix(attention.kProj),
    affineMatrix(attention.vProj),
  );
  const gram = await quadraticForm(weights, s);
  const fold = freqFoldOf(freqFold, m, attention);
  const basis = rotationBasis(roRopeRotations(keyBlock(gram), fold), fold);
  const rotated = await rotatedGram(gram, basis);
  const energies = diagonal(rotated);
  const ratio = channelRatio(energies, m, 1);
  const identity = {
    ...s,
    data: s.data.map((_, i) =>
      i % s.columns === Math.floor(i / s.columns) && i !== s.data.length - 1
        ? 1
        : 0
    ),
  };
  const seen = pca === "activations"
    ? rotated
    : await rotatedGram(await quadraticForm(weights, identity), basis);
  const balanced = balancedGram(seen, m, ratio);
  return {
    keyValueRatio: ratio,
    totalEnergy: trace(balanced),
    rotaryKeyEnergy: rotaryKeyEnergy(energies, basis.rows, m),
    // Of one kind only: the dense solver takes seconds.
    ...(pca === "activations" && {
      keptEnergy: jointPca(await jointSpectrum(balanced), rank).keptEnergy,
    }),
  };
}

Deno.test("isFactored() is for layers wider than their input and than the dense solver takes", async () => {
  const { attention } = await wideModel().layer(0);
  assert(attention.kind === "gqa");
  assertEquals(isFactored(attention), true);
  assertEquals(isFactored({ ...attention, numKeyValueHeads: 8 }), false);
});
