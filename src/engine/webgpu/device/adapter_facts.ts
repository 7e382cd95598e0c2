// An adapter in the words of records, whichever way its provider puts them.

import type { AdapterFacts, GpuLimits, GpuProvider } from "./gpu.ts";
import { nvidiaGpu } from "./nvidia.ts";

// PCI and Khronos ids: Deno gives the number alone.
const VENDORS: Readonly<Record<string, string>> = {
  4098: "AMD",
  4203: "Apple",
  4318: "NVIDIA",
  5045: "Arm",
  6880: "Google",
  20803: "Qualcomm",
  32902: "Intel",
  65541: "Mesa",
};

const SOFTWARE = /llvmpipe|lavapipe|softpipe|swiftshader|basic render/i;

/**
 * Reads what an adapter is.
 *
 * @param provider Whose adapter it is.
 * @param adapter The adapter.
 * @param limits Limits of the device or, before there is one, of the adapter.
 */
export async function adapterFacts(
  provider: GpuProvider,
  adapter: GPUAdapter,
  limits: GpuLimits,
): Promise<AdapterFacts> {
  const { info } = adapter;
  const nvidia = /nvidia/i.test(`${info.vendor} ${info.description}`) ||
      info.vendor === "4318"
    ? await nvidiaGpu()
    : undefined;
  const words = [info.device, info.description, info.architecture].join(" ");
  return {
    provider,
    name: nvidia?.name ?? plainName(provider, info),
    vendor: VENDORS[info.vendor] ?? info.vendor,
    driver: nvidia?.driver ?? (provider === "dawn" ? info.description : ""),
    software: info.isFallbackAdapter || SOFTWARE.test(words),
    subgroupSize: info.subgroupMinSize === info.subgroupMaxSize
      ? info.subgroupMinSize
      : 0,
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup:
        limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    },
  };
}

// Deno describes the adapter by its name; Dawn by its driver.
function plainName(provider: GpuProvider, info: GPUAdapterInfo): string {
  if (SOFTWARE.test(info.device) && provider === "dawn") {
    return info.architecture || info.device;
  }
  const name = provider === "deno"
    ? info.description || info.device
    : info.device || info.description;
  return name || info.vendor || "unnamed adapter";
}
