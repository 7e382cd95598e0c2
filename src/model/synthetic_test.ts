import {
  assert,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { InputError } from "../base/errors.ts";
import { checkLayerShapes } from "./layer_shapes.ts";
import { SYNTHETIC_CONFIGS, syntheticModel } from "./synthetic.ts";

Deno.test("syntheticModel() of every shape has the tensors that its configuration says", async () => {
  for (const [name, config] of Object.entries(SYNTHETIC_CONFIGS)) {
    const model = syntheticModel(`synthetic:${name}`);
    assertEquals(model.id, `synthetic:${name}`);
    const { hiddenSize: D, vocabSize: V, numHiddenLayers } = config;
    for (const index of [0, numHiddenLayers - 1]) {
      const layer = await model.layer(index);
      checkLayerShapes(layer, index, D);
      assert(layer.attention.kind === "gqa");
      const { qProj, kProj, vProj, oProj } = layer.attention;
      for (const { bias } of [qProj, kProj, vProj]) {
        assertEquals(bias !== undefined, config.attentionBias, name);
      }
      assertEquals(oProj.bias, undefined);
    }
    assertEquals((await model.embedTokens()).shape, [V, D]);
    assertEquals((await model.lmHead()).shape, [V, D]);
    assertEquals(
      await model.lmHead() === await model.embedTokens(),
      config.tieWordEmbeddings,
    );
  }
});

Deno.test("syntheticModel() has contexts of 32K where it stands for a model that the paper times", () => {
  for (
    const name of ["llama-2-7b", "llama-3-8b", "qwen2.5-7b", "smollm-1.7b"]
  ) {
    const { maxPositionEmbeddings } = SYNTHETIC_CONFIGS[name]!;
    assert(maxPositionEmbeddings >= 32768, name);
  }
});

Deno.test("syntheticModel() gives the same numbers at every read, others by seed, layer and name", async () => {
  const [a, b, c] = [
    syntheticModel("tiny"),
    syntheticModel("tiny"),
    syntheticModel("tiny", 2),
  ];
  assertEquals(a.sha256, b.sha256);
  assertNotEquals(a.sha256, c.sha256);
  const first = (await a.layer(0)).mlp;
  assertEquals(
    first.upProj.weight.data,
    (await b.layer(0)).mlp.upProj.weight.data,
  );
  for (
    const other of [
      first.gateProj,
      (await a.layer(1)).mlp.upProj,
      (await c.layer(0)).mlp.upProj,
    ]
  ) {
    const data = first.upProj.weight.data;
    assert(other.weight.data.every((value, i) => value !== data[i]));
  }
});

Deno.test("syntheticModel() has weights of variance 1/fanIn and norms around 1", async () => {
  const model = syntheticModel("worked-example");
  const { mlp, inputNorm, attention } = await model.layer(1);
  const { data } = mlp.downProj.weight;
  const variance = data.reduce((sum, value) => sum + value * value, 0) /
    data.length;
  assert(Math.abs(variance * 1024 - 1) < 0.01, `${variance}`);
  assert(inputNorm.data.every((value) => value >= 0.75 && value <= 1.25));
  const mean = inputNorm.data.reduce((sum, value) => sum + value, 0) / 1024;
  assert(Math.abs(mean - 1) < 0.05, `${mean}`);
  // A layer of a small model stays once it is made.
  assert((await model.layer(1)).attention === attention, "made twice");
});

Deno.test("syntheticModel() names the shapes that it knows", () => {
  assertThrows(
    () => syntheticModel("llama-9b"),
    InputError,
    'Cannot make model "synthetic:llama-9b" as there is no such shape (allowed: synthetic:worked-example,',
  );
});
