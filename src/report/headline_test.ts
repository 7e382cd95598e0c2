import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { headline } from "./headline.ts";
import type { RunData } from "./load.ts";
import type { Series } from "./series.ts";

const RUN = {
  cells: [{ model: { id: "sample-model" } }],
} as unknown as RunData;

/** A variant by perplexity, share of the cache saved and speed. */
function series(
  label: string,
  perplexity: number,
  reduction: number,
  speed: number,
): Series {
  return {
    label,
    isBaseline: label === "original",
    modelId: "sample-model",
    engine: { name: "onnx", dtype: "f32" },
    cache: { reduction },
    perplexity: new Map([[2048, { value: perplexity, windows: 1, text: "t" }]]),
    throughput: new Map([[512, { decodeTokensPerSecond: speed }]]),
    outOfMemory: [],
  } as unknown as Series;
}

const BASE = series("original", 20, 0, 100);

Deno.test("headline() names the most accurate of those that save cache", () => {
  const text = headline(
    [BASE, series("a", 21, 0, 70), series("b", 25, 0.5, 90)],
    RUN,
  );
  assertStringIncludes(
    text,
    "The most accurate that saves cache, b, reaches perplexity 25.00 with 50\u00a0% of the cache left, against 20.00 of the original",
  );
});

Deno.test("headline() names the fastest only where it leads clearly", () => {
  const speeds = (...all: number[]) =>
    headline(
      [BASE, ...all.map((speed, i) => series(`v${i}`, 30, 0.5, speed))],
      RUN,
    );
  assertStringIncludes(
    speeds(70, 90),
    "v1, the fastest conversion, decodes at 0.90×",
  );
  const close = speeds(70, 90, 92);
  assert(!close.includes("fastest"), close);
  assertStringIncludes(close, "decode at about 0.7× to 0.9× the baseline’s");
  assertStringIncludes(speeds(5, 90, 92), "decode at about 0.05× to 0.9× the");
});

Deno.test("headline() of one conversion says it once", () => {
  assertEquals(
    headline([BASE, series("a", 25, 0.5, 90)], RUN),
    "The conversion of sample-model cuts the KV cache by 50\u00a0%. It reaches perplexity 25.00 against 20.00 of the original (t, 2,048-token windows). At 512 tokens of context it decodes at 0.90× the baseline’s speed.",
  );
});
