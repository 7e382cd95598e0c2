import { assertEquals } from "@std/assert";
import { MODEL_PRESETS } from "./presets.ts";

/** Weights without norms and biases, counted anew. */
function parameters(name: string): number {
  const c = MODEL_PRESETS[name]!;
  const attention = 2 * (c.numAttentionHeads + c.numKeyValueHeads) * c.headDim;
  const layer = c.hiddenSize * (attention + 3 * c.intermediateSize);
  const tables = c.tieWordEmbeddings ? 1 : 2;
  return c.numHiddenLayers * layer + tables * c.vocabSize * c.hiddenSize;
}

Deno.test("MODEL_PRESETS have as many parameters as their model cards state", () => {
  // Billions, as on the hub's pages of the models.
  const stated: Readonly<Record<string, number>> = {
    "llama-2-7b": 6.74,
    "llama-3-8b": 8.03,
    "llama-3.2-1b": 1.24,
    "qwen2.5-7b": 7.62,
    "smollm-1.7b": 1.71,
    "smollm2-135m": 0.13,
  };
  for (const [name, billions] of Object.entries(stated)) {
    assertEquals(Number((parameters(name) / 1e9).toFixed(2)), billions, name);
  }
});

Deno.test("MODEL_PRESETS have heads that decoders can have", () => {
  for (const [name, c] of Object.entries(MODEL_PRESETS)) {
    assertEquals(c.numAttentionHeads % c.numKeyValueHeads, 0, name);
    assertEquals(c.numAttentionHeads * c.headDim, c.hiddenSize, name);
    assertEquals(c.headDim % 2, 0, name);
  }
});
