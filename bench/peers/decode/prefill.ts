// The linear layers of a pass over one long prompt, each kernel timed on the
// device.

import { openGpu } from "../../../src/engine/webgpu/device/open_gpu.ts";
import type { Arena, Dispatch } from "../../../src/engine/webgpu/device/gpu.ts";
import {
  type GpuModel,
  uploadModel,
} from "../../../src/engine/webgpu/plan/gpu_model.ts";
import { allocateScratchCache } from "../../../src/engine/webgpu/plan/kv_cache.ts";
import {
  passWork,
  recordPass,
} from "../../../src/engine/webgpu/plan/pass_plan.ts";
import {
  layOut,
  uploadLayout,
} from "../../../src/engine/webgpu/plan/row_layout.ts";
import { byKernel } from "../../../src/engine/webgpu/plan/step_profile.ts";
import type { DecodeEvent } from "./events.ts";
import type { OurJob } from "./job.ts";
import { modelOf } from "./shapes.ts";

/** Passes that are timed, after one that is not; the fastest of each kernel counts. */
const PASSES = 3;

/**
 * Times a pass by kernel.
 *
 * @param job Model, provider, tokens.
 */
export async function prefillProducts(job: OurJob): Promise<DecodeEvent> {
  const { provider, dtype, prefill: tokens } = job;
  const gpu = await openGpu({ provider });
  const arena = gpu.arena();
  try {
    const source = await modelOf(job.model, "original", job.mla);
    const model = await uploadModel(arena, source, dtype, dtype);
    await gpu.settle();
    const dispatches = passOf(arena, model, tokens);
    gpu.run(dispatches);
    await gpu.settle();
    const least = new Float64Array(dispatches.length).fill(Infinity);
    for (let i = 0; i < PASSES; i++) {
      const seconds = await gpu.profile(dispatches);
      seconds.forEach((value, i) => least[i] = Math.min(least[i]!, value));
    }
    const layers = source.config.numHiddenLayers;
    const kernels = byKernel(dispatches, least);
    // Sums of split products count as theirs.
    const products = kernels.filter(({ name }) => name.startsWith("gemm"))
      .map(({ name, seconds, flops }) =>
        [name, { seconds: seconds / layers, flops: flops / layers }] as const
      );
    return {
      event: "prefill",
      tokens,
      products: Object.fromEntries(products),
      kernels,
    };
  } finally {
    arena.destroy();
    await gpu.destroy();
  }
}

function passOf(
  arena: Arena,
  model: GpuModel,
  tokens: number,
): readonly Dispatch[] {
  const layout = uploadLayout(arena, layOut([{ past: 0, length: tokens }]));
  const cache = allocateScratchCache(arena, model, 1, tokens);
  const pass = recordPass(arena, model, layout, { cache, firstSequence: 0 });
  return passWork(pass);
}
