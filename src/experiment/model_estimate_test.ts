import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../base/errors.ts";
import { transmla } from "../conversion/methods/transmla.ts";
import { MODEL_PRESETS } from "../model/presets.ts";
import { syntheticModel } from "../model/synthetic.ts";
import { openEngine } from "../engine/open.ts";
import { testContext } from "../../tests/fixtures/conversion_context.ts";
import { conversionMemory } from "./conversion_memory.ts";
import {
  cacheEquations,
  type CacheRequest,
  checkLatentWidths,
  estimateCaches,
  latentParameterCount,
} from "./model_estimate.ts";
import { weightElements } from "./weight_elements.ts";

const LLAMA = MODEL_PRESETS["llama-2-7b"]!;
const OFFICIAL = { qkRopeHeadDim: 64, kvLoraRank: 512 };
const REQUEST: CacheRequest = {
  dtype: "f16",
  batch: 2,
  contexts: [1024, 8192],
};

Deno.test("estimateCaches() is batch times tokens times layers times numbers times bytes", () => {
  const [original, converted] = estimateCaches(LLAMA, [OFFICIAL], REQUEST);
  // 2 · 8192 tokens · 32 layers · 8192 numbers · 2 bytes.
  assertEquals(original!.byContext.at(-1)!.cacheBytes, 2 * 8192 * 524288);
  assertEquals(converted!.bytesPerToken, 32 * 576 * 2);
  assertEquals(Number((100 * converted!.reduction).toFixed(2)), 92.97);
  const f32 = estimateCaches(LLAMA, [], { ...REQUEST, dtype: "f32" });
  assertEquals(f32[0]!.bytesPerToken, 2 * original!.bytesPerToken);
});

Deno.test("estimateCaches() finds the largest batch that fits beside the weights", () => {
  const memoryBytes = 24 * 2 ** 30;
  const caches = estimateCaches(LLAMA, [OFFICIAL], { ...REQUEST, memoryBytes });
  for (const { weightBytes, bytesPerToken, byContext } of caches) {
    for (const { contextTokens, largestBatch } of byContext) {
      const sequence = contextTokens * bytesPerToken;
      assert(weightBytes + largestBatch! * sequence <= memoryBytes);
      assert(weightBytes + (largestBatch! + 1) * sequence > memoryBytes);
    }
  }
  const none = estimateCaches(LLAMA, [], { ...REQUEST, memoryBytes: 2 ** 30 });
  assertEquals(none[0]!.byContext[0]!.largestBatch, 0);
});

Deno.test("latentParameterCount() is what a converted model has, norms aside", async () => {
  const model = syntheticModel("tiny");
  const widths = { qkRopeHeadDim: 8, kvLoraRank: 24 };
  const options = transmla.options.parse({ ...widths, freqFold: 2 });
  const engine = await openEngine("reference");
  const { model: converted } = await transmla.convert(
    model,
    options as Parameters<typeof transmla.convert>[1],
    testContext(engine, {
      sequences: [Int32Array.from({ length: 64 }, (_, i) => (i * 37) % 256)],
    }),
  );
  const { numHiddenLayers, hiddenSize } = model.config;
  const norms = (2 * numHiddenLayers + 1) * hiddenSize;
  assertEquals(
    latentParameterCount(model.config, widths),
    (await weightElements(converted)).total - norms,
  );
});

Deno.test("checkLatentWidths() refuses in the words of the method", () => {
  assertThrows(
    () => checkLatentWidths(LLAMA, { qkRopeHeadDim: 64, kvLoraRank: 8129 }),
    InputError,
    "Cannot convert with kvLoraRank 8129 as it must be 1 to 8128 (2·G·d - qkRopeHeadDim)",
  );
  assertThrows(
    () => checkLatentWidths(LLAMA, { qkRopeHeadDim: 48, kvLoraRank: 512 }),
    InputError,
    "Cannot convert with qkRopeHeadDim 48 as it must be an even divisor of headDim 128",
  );
  checkLatentWidths(LLAMA, { qkRopeHeadDim: 64, kvLoraRank: 8128 });
});

Deno.test("cacheEquations() and conversionMemory() put in numbers that give the value", () => {
  const caches = estimateCaches(LLAMA, [OFFICIAL], REQUEST);
  const memory = conversionMemory(LLAMA, [OFFICIAL], 32768);
  const equations = [
    ...cacheEquations(LLAMA, caches, REQUEST),
    ...memory.parts,
    memory.onDisk,
    memory.allWeights,
  ];
  for (const { what, numbers, value } of equations) {
    assertEquals(evaluate(numbers), value, what);
  }
  const moments = memory.parts.find(({ what }) => what.startsWith("second"))!;
  // 134 MB a layer at D = 4096.
  assertEquals(Math.round(moments.value / 1e6), 134);
  assertEquals(
    memory.atOnceBytes,
    memory.parts.reduce((sum, { value }) => sum + value, 0),
  );
});

/** "4,097² · 8" by JavaScript. */
function evaluate(numbers: string): number {
  const code = numbers.replaceAll(",", "").replaceAll("·", "*")
    .replaceAll("−", "-").replaceAll("²", "**2");
  assert(/^[\d\s()*/+-]+$/.test(code), code);
  return new Function(`return ${code}`)();
}
