import { assertEquals, assertThrows } from "@std/assert";
import type { GqaAttention, MlaAttention } from "../model/decoder.ts";
import { AttentionStore } from "./attention_store.ts";

const ROTARY = {
  layout: "interleaved",
  frequencies: Float64Array.of(1),
} as const;

function linear(seed: number, bias = false) {
  const tensor = { shape: [2, 2], data: new Float32Array(4).fill(seed) };
  return bias
    ? { weight: tensor, bias: { shape: [2], data: Float32Array.of(seed, -1) } }
    : { weight: tensor };
}

function original(): GqaAttention {
  return {
    kind: "gqa",
    numAttentionHeads: 1,
    numKeyValueHeads: 1,
    headDim: 2,
    softmaxScale: 1,
    rotary: ROTARY,
    qProj: linear(1),
    kProj: linear(2),
    vProj: linear(3),
    oProj: linear(4),
  };
}

function converted(layer: number, from: GqaAttention): MlaAttention {
  return {
    kind: "mla",
    numAttentionHeads: 1,
    numKeyValueHeads: 1,
    qkNopeHeadDim: 2,
    qkRopeHeadDim: 2,
    vHeadDim: 2,
    kvLoraRank: 2,
    softmaxScale: 1,
    rotary: ROTARY,
    qProj: linear(10 + layer, true),
    kvAProjWithMqa: linear(20 + layer),
    kvBProj: { shape: [1, 4], data: Float32Array.of(layer, 1, 2, 3) },
    oProj: from.oProj,
  };
}

Deno.test("AttentionStore gives back what it was given, from memory or from its file", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const budgetBytes of [1e6, 10]) {
      const store = new AttentionStore(3, { budgetBytes, folder });
      for (let layer = 0; layer < 3; layer++) {
        const before = original();
        await store.put(layer, converted(layer, before), before);
      }
      // qProj with bias, kvAProjWithMqa and kvBProj of each; the shared oProj is not stored.
      assertEquals(store.spilledBytes, budgetBytes === 10 ? 3 * 56 : 0);
      for (const layer of [2, 0, 1]) {
        const again = original();
        const attention = store.get(layer, again);
        assertEquals(attention, converted(layer, again));
      }
      assertThrows(() => store.get(3, original()), RangeError, "layer 3");
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
