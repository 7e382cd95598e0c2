// The GPU's name for the records. onnxruntime's WebGPU provider does not tell
// which adapter it took, so the same request is made of Deno's own WebGPU, with
// the driver that NVIDIA's own tool reports beside it.

import { nvidiaGpu } from "../webgpu/device/nvidia.ts";

/**
 * Names the high-performance GPU of this machine.
 *
 * @returns For instance "NVIDIA H100 80GB HBM3, driver 580.159.04", or undefined where no adapter answers.
 */
export async function adapterName(): Promise<string | undefined> {
  const adapter = await navigator.gpu?.requestAdapter({
    powerPreference: "high-performance",
  });
  if (!adapter) return undefined;
  const { description, device, vendor } = adapter.info;
  const name = description || device || vendor;
  const nvidia = /nvidia/i.test(name) ? await nvidiaGpu() : undefined;
  return nvidia === undefined ? name : `${name}, driver ${nvidia.driver}`;
}
