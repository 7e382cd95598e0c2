// Opens a device of either provider.

import {
  type AdapterOptions,
  featuresOf,
  requestAdapter,
  requestDevice,
} from "./adapter.ts";
import { adapterFacts } from "./adapter_facts.ts";
import type { Gpu } from "./gpu.ts";
import { GpuDevice } from "./gpu_device.ts";

/**
 * Opens a device with all that its adapter offers; several may be open, and a
 * lost one is replaced by opening another.
 *
 * @param options Whose adapter, and which.
 * @returns The device; close it with destroy().
 * @throws {UnavailableError} If the provider is not installed or finds no adapter.
 */
export async function openGpu(options: AdapterOptions): Promise<Gpu> {
  const { provider } = options;
  const adapter = await requestAdapter(options);
  const device = await requestDevice(provider, adapter);
  const facts = await adapterFacts(provider, adapter.info, device.limits);
  const features = featuresOf(provider, adapter, device);
  return await GpuDevice.open(device, facts, features);
}
