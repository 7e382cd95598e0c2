// Against every cache figure that the paper and the READMEs of its code state.

import { assertEquals } from "@std/assert";
import {
  cacheReduction,
  fullCacheElements,
  latentCacheElements,
  paperLatentWidths,
} from "./cache_arithmetic.ts";
import { MODEL_PRESETS } from "./presets.ts";

// gemma-2-9b's, whose other features keep it out of the presets.
const GEMMA_2_9B = { numKeyValueHeads: 8, headDim: 256 };

/** Percent as the sources round: one decimal or two. */
function percent(kept: number, full: number, decimals: number): number {
  return Number((100 * cacheReduction(kept, full)).toFixed(decimals));
}

Deno.test("cacheReduction() is Table 1's for LLaMA-2-7B and SmolLM-1.7B", () => {
  const llama = fullCacheElements(MODEL_PRESETS["llama-2-7b"]!);
  assertEquals(llama, 8192);
  assertEquals(
    [2560, 1536, 1024, 576].map((kept) => percent(kept, llama, 2)),
    [68.75, 81.25, 87.5, 92.97],
  );
  const smollm = fullCacheElements(MODEL_PRESETS["smollm-1.7b"]!);
  assertEquals(smollm, 4096);
  assertEquals(
    [1280, 768, 512].map((kept) => percent(kept, smollm, 2)),
    [68.75, 81.25, 87.5],
  );
});

Deno.test("cacheReduction() at 512 + 64 is what the official README states", () => {
  const kept = latentCacheElements({ qkRopeHeadDim: 64, kvLoraRank: 512 });
  assertEquals(kept, 576);
  const stated: readonly [
    { numKeyValueHeads: number; headDim: number },
    number,
    number,
  ][] = [
    [MODEL_PRESETS["llama-2-7b"]!, 2, 92.97],
    [GEMMA_2_9B, 1, 85.9],
    [MODEL_PRESETS["llama-3-8b"]!, 1, 71.9],
    [MODEL_PRESETS["qwen2.5-7b"]!, 2, 43.75],
    [MODEL_PRESETS["llama-3.2-1b"]!, 2, 43.75],
  ];
  for (const [shape, decimals, expected] of stated) {
    assertEquals(percent(kept, fullCacheElements(shape), decimals), expected);
  }
  // 448 + 128, the README's other column, is as large.
  assertEquals(
    latentCacheElements({ qkRopeHeadDim: 128, kvLoraRank: 448 }),
    576,
  );
});

Deno.test("the worked example goes from 1024 numbers to 192", () => {
  const full = fullCacheElements(MODEL_PRESETS["worked-example"]!);
  const kept = latentCacheElements({ qkRopeHeadDim: 128, kvLoraRank: 64 });
  assertEquals([full, kept, percent(kept, full, 2)], [1024, 192, 81.25]);
});

Deno.test("MHA2MLA's -68.75, -81.25 and -87.5 % of a 135M model are 120, 72 and 48 numbers", () => {
  const shape = MODEL_PRESETS["smollm2-135m"]!;
  assertEquals(paperLatentWidths(shape).map(latentCacheElements), [
    120,
    72,
    48,
  ]);
});

Deno.test("paperLatentWidths() are possible sizes of the paper's numbers", () => {
  assertEquals(paperLatentWidths(MODEL_PRESETS["llama-2-7b"]!), [
    { qkRopeHeadDim: 64, kvLoraRank: 2496 },
    { qkRopeHeadDim: 64, kvLoraRank: 1472 },
    { qkRopeHeadDim: 64, kvLoraRank: 960 },
    { qkRopeHeadDim: 64, kvLoraRank: 512 },
  ]);
  assertEquals(
    paperLatentWidths(MODEL_PRESETS["smollm-1.7b"]!).map(latentCacheElements),
    [1280, 768, 576, 512],
  );
  for (const shape of [...Object.values(MODEL_PRESETS), GEMMA_2_9B]) {
    const full = fullCacheElements(shape);
    const widths = paperLatentWidths(shape);
    assertEquals(new Set(widths.map(latentCacheElements)).size, widths.length);
    for (const { qkRopeHeadDim: m, kvLoraRank: r } of widths) {
      assertEquals([shape.headDim % m, m % 2], [0, 0]);
      assertEquals(r >= m && r <= full - m, true, `m ${m} r ${r}`);
    }
  }
});
