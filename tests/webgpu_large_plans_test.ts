// Models of 7B parameters without a GPU and without their weights: their plans are
// recorded for an H100's limits in an arena that only counts.

import { assert, assertEquals } from "@std/assert";
import { methodByName } from "../src/conversion/methods/mod.ts";
import { CountingArena } from "../src/engine/webgpu/device/counting_arena.ts";
import type {
  AdapterFacts,
  GpuProvider,
} from "../src/engine/webgpu/device/gpu.ts";
import {
  type GpuModel,
  uploadModel,
} from "../src/engine/webgpu/plan/gpu_model.ts";
import { allocateCache } from "../src/engine/webgpu/plan/kv_cache.ts";
import {
  mostSequences,
  stepScratchBytes,
} from "../src/engine/webgpu/plan/step_memory.ts";
import {
  allocateState,
  recordStep,
} from "../src/engine/webgpu/plan/step_plan.ts";
import { cacheTheory } from "../src/evaluation/cache_bytes.ts";
import { weightElements } from "../src/experiment/weight_elements.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { syntheticModel } from "../src/model/synthetic.ts";

const GIB = 2 ** 30;

function h100(provider: GpuProvider) {
  const facts: AdapterFacts = {
    provider,
    name: "NVIDIA H100 80GB HBM3",
    vendor: "nvidia",
    driver: "",
    software: false,
    subgroupSize: 32,
    limits: {
      maxBufferSize: provider === "deno" ? 4 * GIB : 1024 * GIB,
      maxStorageBufferBindingSize: 2 * GIB - 4,
      maxComputeWorkgroupStorageSize: 48 * 1024,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupsPerDimension: 65535,
    },
  };
  const features = {
    f16: true,
    subgroups: true,
    subgroupMatrix: provider === "dawn",
    timestamps: true,
  };
  return { facts, features };
}

async function converted(
  model: DecoderModel,
  kvLoraRank: number,
): Promise<DecoderModel> {
  const method = methodByName("mla-shape");
  const options = method.options.parse({ kvLoraRank });
  const { model: latent } = await method.convert(model, options, {
    passes: 1,
    moments: () => Promise.reject(new Error("no moments are needed")),
    heldOutNll: () => Promise.reject(new Error("no text is needed")),
  });
  return latent;
}

async function loaded(
  model: DecoderModel,
  provider: GpuProvider,
): Promise<{ arena: CountingArena; gpuModel: GpuModel }> {
  const arena = new CountingArena(h100(provider));
  return { arena, gpuModel: await uploadModel(arena, model, "f16", "f16") };
}

const MODELS = ["llama-2-7b", "llama-3-8b", "qwen2.5-7b", "smollm-1.7b"];

for (const provider of ["deno", "dawn"] as const) {
  Deno.test(`plans of 7B models on ${provider} keep to an H100's limits and take no host memory`, async () => {
    const before = Deno.memoryUsage();
    for (const name of MODELS) {
      const original = syntheticModel(name);
      for (const model of [original, await converted(original, 512)]) {
        const { arena, gpuModel } = await loaded(model, provider);
        const { total } = await weightElements(model);
        // Norms and biases are f32.
        assert(arena.bytes >= 2 * total, `${name} has ${arena.bytes} bytes`);
        assert(arena.bytes < 2.001 * total, `${name} has ${arena.bytes} bytes`);
        const theory = await cacheTheory(model, 2);
        for (
          const [batch, capacity] of [
            [1, 32768],
            [7, 32768],
            [15, 2048],
            [244, 1024],
            [1600, 160],
          ] as const
        ) {
          const state = allocateState(arena, gpuModel, batch);
          const cache = allocateCache(arena, gpuModel, batch, capacity);
          assertEquals(cache.bytes, batch * capacity * theory.bytesPerToken);
          // Throws where a grid or a binding is over a limit.
          const step = recordStep(arena, gpuModel, cache, state);
          assert(step.length > 0);
        }
      }
    }
    const { external, heapUsed } = Deno.memoryUsage();
    const grown = external + heapUsed - before.external - before.heapUsed;
    assert(grown < 500e6, `${grown} bytes of host memory were taken`);
  });
}

Deno.test("stepScratchBytes() is what the plan allocates, grows with the batch and knows no limit", async () => {
  const model = await converted(syntheticModel("llama-2-7b"), 512);
  const { gpuModel, arena: { gpu } } = await loaded(model, "deno");
  const sizes = [1, 8, 64, 1024, 100_000].map((batch) =>
    stepScratchBytes(gpu, gpuModel, batch, 1024)
  );
  for (const [i, bytes] of sizes.entries()) {
    assert(Number.isSafeInteger(bytes) && bytes > 0, `${bytes}`);
    if (i > 0) assert(bytes > sizes[i - 1]!, `${sizes}`);
  }
  // At least logits, the residual stream, and queries of 32 heads of 192; what
  // kernels keep between their stages is more, but no multiple of it a layer.
  const least = 4 * 1024 * (32000 + 4096 + 32 * 192);
  assert(sizes[3]! > least && sizes[3]! < 10 * least, `${sizes[3]}`);
});

Deno.test("mostSequences() is what allocateCache() can still allocate", async () => {
  const model = syntheticModel("smollm-1.7b");
  const { gpuModel, arena: { gpu } } = await loaded(model, "deno");
  const capacity = 32768;
  const most = mostSequences(gpu, gpuModel, capacity);
  // G·d = 2048 numbers of 2 bytes a token.
  assertEquals(most, Math.floor((2 * GIB - 4) / (capacity * 4096)));
  const allocate = (batch: number) =>
    allocateCache(new CountingArena(h100("deno")), gpuModel, batch, capacity);
  allocate(most);
  let message = "";
  try {
    allocate(most + 1);
  } catch (error) {
    message = (error as Error).message;
  }
  assert(
    message.startsWith("GPU out of memory: one layer's cache first must be <="),
    message,
  );
});
