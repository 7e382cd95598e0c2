import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../base/errors.ts";
import type { ModelConfig } from "../../model/config.ts";
import { methodByName, METHODS } from "./mod.ts";

const CONFIG: ModelConfig = {
  modelType: "llama",
  vocabSize: 256,
  hiddenSize: 576,
  intermediateSize: 1536,
  numHiddenLayers: 30,
  numAttentionHeads: 9,
  numKeyValueHeads: 3,
  headDim: 64,
  maxPositionEmbeddings: 2048,
  rmsNormEps: 1e-5,
  ropeTheta: 1e4,
  tieWordEmbeddings: true,
  attentionBias: false,
};

function check(name: string, options: Record<string, unknown>): void {
  const method = methodByName(name);
  method.check(method.options.parse(options), CONFIG);
}

Deno.test("METHODS have distinct names and each finds itself", () => {
  const names = METHODS.map((method) => method.name);
  assertEquals(new Set(names).size, names.length);
  for (const method of METHODS) assertEquals(methodByName(method.name), method);
});

Deno.test("methodByName() suggests the nearest name", () => {
  assertThrows(
    () => methodByName("transmal"),
    InputError,
    'Unknown method "transmal" (did you mean "transmla"?): it must be one of original, partial-rope, transmla, mla-shape',
  );
});

Deno.test("options default to the official code's and refuse unknown keys", () => {
  const { options } = methodByName("transmla");
  assertEquals(options.parse({ kvLoraRank: 512 }), {
    freqFold: "auto",
    qkRopeHeadDim: 64,
    rope: true,
    kvLoraRank: 512,
    balanceKv: true,
    balanceKvNorm: "channel",
    balanceKvRatio: 1,
    pca: "activations",
  });
  for (
    const wrong of [
      {},
      { kvLoraRank: "half" },
      { kvLoraRank: 8, freqfold: 4 },
      { kvLoraRank: 8, balanceKvRatio: 0 },
      { kvLoraRank: 8, freqFold: 1.5 },
    ]
  ) assertEquals(options.safeParse(wrong).success, false);
  assertEquals(
    methodByName("original").options.safeParse({ a: 1 }).success,
    false,
  );
});

Deno.test("check() accepts what fits", () => {
  check("transmla", { kvLoraRank: 320, freqFold: 32 });
  check("transmla", { kvLoraRank: "full", qkRopeHeadDim: 2, freqFold: 32 });
  check("transmla", { kvLoraRank: 1, qkRopeHeadDim: 32, freqFold: "auto" });
  check("partial-rope", { qkRopeHeadDim: 16, freqFold: 8 });
  check("mla-shape", { kvLoraRank: 320 });
  check("mla-shape", { kvLoraRank: 352, qkRopeHeadDim: 32 });
});

Deno.test("check() refuses what does not fit, naming value and allowed values", () => {
  const refused: [Record<string, unknown>, string][] = [
    [
      { kvLoraRank: 321 },
      "Cannot convert with kvLoraRank 321 as it must be 1 to 320 (2·G·d - qkRopeHeadDim)",
    ],
    [
      { kvLoraRank: 8, freqFold: 3 },
      "Cannot convert with freqFold 3 as it must divide headDim/2 = 32",
    ],
    [
      { kvLoraRank: 8, freqFold: 1, qkRopeHeadDim: 32 },
      "with freqFold 1 as headDim/qkRopeHeadDim = 2 must divide it: 2, 4,",
    ],
    [
      { kvLoraRank: 8, qkRopeHeadDim: 48 },
      "with qkRopeHeadDim 48 as it must be an even divisor of headDim 64",
    ],
    [
      { kvLoraRank: 8, qkRopeHeadDim: 31 },
      "with qkRopeHeadDim 31 as it must be an even divisor of headDim 64",
    ],
    [
      { kvLoraRank: 8, qkRopeHeadDim: 128 },
      "with qkRopeHeadDim 128 as it must be an even divisor of headDim 64",
    ],
  ];
  for (const [options, message] of refused) {
    assertThrows(() => check("transmla", options), RangeError, message);
    const { freqFold, ...shape } = options;
    if (freqFold !== undefined) continue;
    assertThrows(() => check("mla-shape", shape), RangeError, message);
  }
});
