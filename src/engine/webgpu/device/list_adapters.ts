// Every GPU of this machine through every provider, opened and measured.

import { UnavailableError } from "../../../base/errors.ts";
import { featuresOf, requestAdapter, requestDevice } from "./adapter.ts";
import { adapterFacts } from "./adapter_facts.ts";
import { copyBandwidth } from "./copy_bandwidth.ts";
import type { AdapterFacts, GpuFeatures, GpuProvider } from "./gpu.ts";
import { GpuDevice } from "./gpu_device.ts";

/** An adapter and what it can do. */
export interface ListedAdapter {
  readonly facts: AdapterFacts;
  /** What kernels use of it. */
  readonly abilities: GpuFeatures;
  /** All that it names, sorted. */
  readonly features: readonly string[];
  /** All limits by name. */
  readonly limits: Readonly<Record<string, number>>;
  /** Bytes read and written a second by a copy, or why there is no such number. */
  readonly copy: { readonly bytesPerSecond: number } | {
    readonly error: string;
  };
}

/**
 * Lists a provider's adapters.
 *
 * @param provider Which one; asking for "dawn" loads its package.
 * @returns Each adapter once, the fastest first; none where none answers.
 * @throws {UnavailableError} If the provider does not load.
 */
export async function listAdapters(
  provider: GpuProvider,
): Promise<ListedAdapter[]> {
  const found = new Map<string, ListedAdapter>();
  for (const powerPreference of ["high-performance", "low-power"] as const) {
    let adapter: GPUAdapter;
    try {
      adapter = await requestAdapter({ provider, powerPreference });
    } catch (error) {
      if (error instanceof UnavailableError && error.cause === undefined) {
        continue;
      }
      throw error;
    }
    const { info } = adapter;
    const key = [info.vendor, info.device, info.description].join("\n");
    if (!found.has(key)) found.set(key, await look(provider, adapter));
  }
  return [...found.values()];
}

async function look(
  provider: GpuProvider,
  adapter: GPUAdapter,
): Promise<ListedAdapter> {
  const limits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") limits[name] = value;
  }
  const features = [...adapter.features].sort();
  const device = await requestDevice(provider, adapter);
  const facts = await adapterFacts(provider, adapter.info, device.limits);
  const abilities = featuresOf(provider, adapter, device);
  const gpu = await GpuDevice.open(device, facts, abilities);
  try {
    const { bytesPerSecond } = await copyBandwidth(gpu);
    return { facts, abilities, features, limits, copy: { bytesPerSecond } };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { facts, abilities, features, limits, copy: { error: message } };
  } finally {
    await gpu.destroy();
  }
}
