// An adapter in the words of records, whichever way its provider puts them.

import type { AdapterFacts, GpuLimits, GpuProvider } from "./gpu.ts";
import { nvidiaGpu } from "./nvidia.ts";

// PCI and Khronos ids: Deno gives the number alone.
const VENDORS: Readonly<Record<string, string>> = {
  "4098": "AMD",
  "4203": "Apple",
  "4318": "NVIDIA",
  "5045": "Arm",
  "6880": "Google",
  "20803": "Qualcomm",
  "32902": "Intel",
  "65541": "Mesa",
  "amd": "AMD",
  "apple": "Apple",
  "arm": "Arm",
  "google": "Google",
  "intel": "Intel",
  "mesa": "Mesa",
  "nvidia": "NVIDIA",
  "qualcomm": "Qualcomm",
};

const SOFTWARE = /llvmpipe|lavapipe|softpipe|swiftshader|basic render/i;

/**
 * Reads what an adapter is. An NVIDIA GPU is named by NVIDIA's own tool, where
 * that may run.
 *
 * @param provider Whose adapter it is.
 * @param info What it says of itself.
 * @param limits Those of the device.
 */
export async function adapterFacts(
  provider: GpuProvider,
  info: GPUAdapterInfo,
  limits: GpuLimits,
): Promise<AdapterFacts> {
  const vendor = VENDORS[info.vendor] ?? info.vendor;
  const named = provider === "deno" ? denoName(info) : dawnName(info);
  const nvidia = vendor === "NVIDIA" ? await nvidiaGpu() : undefined;
  const { subgroupMinSize, subgroupMaxSize } = info;
  return {
    provider,
    name: nvidia?.name ?? (named.name || vendor || "unnamed adapter"),
    vendor,
    driver: nvidia?.driver ?? named.driver,
    software: info.isFallbackAdapter ||
      SOFTWARE.test(`${info.description} ${info.device} ${info.architecture}`),
    subgroupSize: subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0,
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

interface Named {
  readonly name: string;
  readonly driver: string;
}

// Deno describes an adapter by its name, "llvmpipe (LLVM 15.0.6, 256 bits)"; its
// device is a PCI id.
function denoName({ description, device }: GPUAdapterInfo): Named {
  const [, name, driver] = /^(\w+) \((LLVM [\d.]+)\b/.exec(description) ?? [];
  return name !== undefined && driver !== undefined
    ? { name, driver }
    : { name: description || device, driver: "" };
}

// Dawn describes an adapter by its driver, "SwiftShader driver 5.0.0".
function dawnName({ description, device }: GPUAdapterInfo): Named {
  const [, software, version] = /^(\w+) driver ([\d.]+)$/.exec(description) ??
    [];
  if (software !== undefined && version !== undefined) {
    return {
      name: SOFTWARE.test(software) ? software : device || software,
      driver: version,
    };
  }
  return { name: device || description, driver: device ? description : "" };
}
