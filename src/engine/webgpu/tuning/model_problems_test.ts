import { assert, assertEquals } from "@std/assert";
import { MODEL_PRESETS } from "../../../model/presets.ts";
import type { Gpu } from "../device/gpu.ts";
import { modelProblems, type TuningScope } from "./model_problems.ts";

const SCOPE: TuningScope = {
  config: MODEL_PRESETS["llama-2-7b"]!,
  element: "f16",
  latent: { rank: 512, rotary: 64 },
  batches: [1, 4, 30],
  contexts: [1024, 8192],
  prefillRows: 0,
};

Deno.test("modelProblems() has both products of few rows, and gates where matrices multiply halves", () => {
  const keys = keysOf(gpuWith({ subgroupMatrix: true }));
  for (
    const key of [
      "gemv 1x12288x4096 scaled",
      "gemv 4x22016x4096 gated",
      "gemm f16 8x22016x4096",
      "gemm f16 8x22016x4096 gated",
      "gemm f16 32x4096x11008",
      "attention_decode gqa 32/32x128 1 8192",
      "attention_decode mla 32/1x512 32 1024",
      "attention_decode mla 32/1x512 32 8192",
    ]
  ) assert(keys.includes(key), key);
  assert(!keys.some((key) => key.startsWith("gemv 30x")));
  assertEquals(new Set(keys).size, keys.length);
  const plain = keysOf(gpuWith({ subgroupMatrix: false }));
  assert(!plain.includes("gemm f16 32x22016x4096 gated"));
});

Deno.test("modelProblems() times no gemv() in steps that have none", () => {
  const keys = keysOf(gpuWith({ subgroupMatrix: false, subgroupSize: 0 }));
  assert(!keys.some((key) => key.startsWith("gemv")));
  assert(keys.includes("gemm f16 8x12288x4096"));
});

function keysOf(gpu: Gpu): string[] {
  return modelProblems(gpu, SCOPE).map(({ kernel, key }) => `${kernel} ${key}`);
}

function gpuWith(
  { subgroupMatrix, subgroupSize = 32 }: {
    subgroupMatrix: boolean;
    subgroupSize?: number;
  },
): Gpu {
  return {
    facts: {
      provider: "dawn",
      name: "a GPU",
      software: false,
      subgroupSize,
      limits: {
        maxComputeWorkgroupStorageSize: 49152,
        maxComputeInvocationsPerWorkgroup: 1024,
      },
    },
    features: { f16: true, subgroups: true, subgroupMatrix },
  } as unknown as Gpu;
}
