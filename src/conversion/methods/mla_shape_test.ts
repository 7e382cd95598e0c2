import { assert, assertEquals, assertRejects } from "@std/assert";
import { UnsupportedModelError } from "../../base/errors.ts";
import type { Attention, DecoderModel } from "../../model/decoder.ts";
import { checkLayerShapes } from "../../model/layer_shapes.ts";
import { syntheticModel } from "../../model/synthetic.ts";
import type { ConversionContext } from "../method.ts";
import { mlaShape } from "./mla_shape.ts";

const NOTHING: ConversionContext = {
  passes: 1,
  moments: () => Promise.reject(new Error("no moments are needed")),
  heldOutNll: () => Promise.reject(new Error("no text is needed")),
};

function convert(
  model: DecoderModel,
  kvLoraRank: number,
  qkRopeHeadDim = 64,
) {
  const options = { kvLoraRank, qkRopeHeadDim };
  return mlaShape.convert(model, options, NOTHING);
}

async function mlaOf(
  model: DecoderModel,
  layer: number,
): Promise<Extract<Attention, { kind: "mla" }>> {
  const { attention } = await model.layer(layer);
  assert(attention.kind === "mla");
  return attention;
}

Deno.test("mla-shape gives every layer the sizes of a conversion and makes no number", async () => {
  for (const name of ["llama-2-7b", "llama-3-8b", "qwen2.5-7b"]) {
    const original = syntheticModel(name);
    const { model, resolved, layers } = await convert(original, 512);
    assertEquals(layers, []);
    assertEquals(resolved, { qkRopeHeadDim: 64, kvLoraRank: 512 });
    for (const i of [0, original.config.numHiddenLayers - 1]) {
      const layer = await model.layer(i);
      checkLayerShapes(layer, i, original.config.hiddenSize);
      const attention = await mlaOf(model, i);
      const { numAttentionHeads: H, numKeyValueHeads: G } = original.config;
      assertEquals(attention.qProj.weight.shape[0], H * (128 + 64));
      assertEquals(attention.kvAProjWithMqa.weight.shape[0], 512 + 64);
      assertEquals(attention.kvBProj.shape, [G * 256, 512]);
      assertEquals(attention.softmaxScale, 1 / Math.sqrt(128 + 64));
      const bias = original.config.attentionBias;
      assertEquals(attention.qProj.bias !== undefined, bias);
      assertEquals(attention.kvAProjWithMqa.bias !== undefined, bias);
      for (
        const { seeded } of [
          attention.qProj.weight,
          attention.kvAProjWithMqa.weight,
          attention.kvBProj,
          attention.oProj.weight,
        ]
      ) assert(seeded !== undefined, "a weight is not seeded");
    }
  }
});

Deno.test("mla-shape keeps every second frequency where m is half of d", async () => {
  const original = syntheticModel("decode-check");
  const { frequencies } = (await original.layer(0)).attention.rotary;
  const { model } = await convert(original, 512);
  const { rotary } = await mlaOf(model, 1);
  assertEquals(rotary.layout, "interleaved");
  assertEquals(
    [...rotary.frequencies],
    [...frequencies].filter((_, i) => i % 2 === 0),
  );
});

Deno.test("mla-shape tells layers, sizes and models apart by their weights", async () => {
  const first = (await mlaOf(
    (await convert(syntheticModel("tiny"), 8, 4)).model,
    0,
  )).qProj.weight.data.slice(0, 8).join();
  const others = [
    [1, 8, 1],
    [0, 9, 1],
    [0, 8, 2],
  ] as const;
  for (const [layer, rank, seed] of others) {
    const { model } = await convert(syntheticModel("tiny", seed), rank, 4);
    const { qProj } = await mlaOf(model, layer);
    assert(qProj.weight.data.slice(0, 8).join() !== first);
  }
  const again = await convert(syntheticModel("tiny"), 8, 4);
  assertEquals(
    (await mlaOf(again.model, 0)).qProj.weight.data.slice(0, 8).join(),
    first,
  );
});

Deno.test("mla-shape refuses models that are not synthetic", async () => {
  const model = syntheticModel("tiny");
  await assertRejects(
    () => convert({ ...model, id: "smollm2-135m" }, 8, 4),
    UnsupportedModelError,
    "Cannot convert smollm2-135m with mla-shape as its weights are seeded: the model must be synthetic:NAME",
  );
  const { model: converted } = await convert(model, 8, 4);
  await assertRejects(
    () => convert(converted, 8, 4),
    UnsupportedModelError,
    "with mla-shape as its weights are seeded",
  );
});
