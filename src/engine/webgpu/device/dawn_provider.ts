// Dawn inside Deno: npm:webgpu, a Node-API addon. It is loaded when it is asked
// for: whoever does not ask never downloads its 45 MB.

import { UnavailableError } from "../../../base/errors.ts";

// Computed, so that Deno does not fetch the package with the module graph.
const DAWN = "npm:webgpu@0.6.2";

const OPTIONS = [
  "backend=vulkan",
  // f16 on NVIDIA and subgroup matrices; kernels stay within their bounds, so
  // clamping every index buys nothing.
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model,disable_robustness",
  // Timestamps are rounded to 100 us otherwise.
  "disable-dawn-features=timestamp_quantization",
];

interface DawnModule {
  create(options: readonly string[]): GPU;
}

// Dawn's instance must stay referenced: once collected, the next call crashes.
let instance: GPU | undefined;

/**
 * Dawn's `navigator.gpu`. While it lives, the process ends by Deno.exit() only.
 *
 * @throws {UnavailableError} If the package cannot be loaded.
 */
export async function dawnGpu(): Promise<GPU> {
  if (instance !== undefined) return instance;
  try {
    const dawn = await import(DAWN) as DawnModule;
    instance = dawn.create(OPTIONS);
    return instance;
  } catch (error) {
    throw new UnavailableError(
      `Cannot load Dawn (${DAWN}): ${
        error instanceof Error ? error.message.split("\n", 1)[0] : error
      }`,
      { cause: error },
    );
  }
}
