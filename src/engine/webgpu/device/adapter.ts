// Adapters and devices of both providers, with all that they offer.

import { UnavailableError } from "../../../base/errors.ts";
import { dawnGpu } from "./dawn_provider.ts";
import type { GpuFeatures, GpuProvider } from "./gpu.ts";

// Not in the standard, so not in its types.
const MATRIX_FEATURE =
  "chromium-experimental-subgroup-matrix" as GPUFeatureName;
const SUBGROUPS = "subgroups" as GPUFeatureName;

const WANTED: readonly GPUFeatureName[] = [
  "shader-f16",
  "timestamp-query",
  SUBGROUPS,
  MATRIX_FEATURE,
];

// Without these a device has the least that the standard grants, whatever its
// adapter can do.
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const;

const PROVIDER_NAMES: Readonly<Record<GpuProvider, string>> = {
  deno: "Deno's own WebGPU",
  dawn: "Dawn (npm:webgpu)",
};

/** Which of a machine's GPUs is asked for. */
export interface AdapterOptions {
  readonly provider: GpuProvider;
  /** @default "high-performance" */
  readonly powerPreference?: GPUPowerPreference;
}

/**
 * Asks a provider for an adapter.
 *
 * @param options Provider and preference.
 * @returns The adapter.
 * @throws {UnavailableError} If the provider finds none.
 */
export async function requestAdapter(
  options: AdapterOptions,
): Promise<GPUAdapter> {
  const { provider, powerPreference = "high-performance" } = options;
  const gpu = provider === "dawn" ? await dawnGpu() : navigator.gpu;
  const adapter = await withRuntimeFolder(() =>
    gpu?.requestAdapter({ powerPreference })
  );
  if (adapter) return adapter;
  throw new UnavailableError(
    `Cannot open a GPU as ${PROVIDER_NAMES[provider]} finds no adapter: ${
      missingDriver(provider)
    }`,
  );
}

/**
 * Opens a device with the full limits of its adapter and every feature that kernels use.
 *
 * @param provider Whose adapter it is.
 * @param adapter Used up by it.
 * @returns The device.
 */
export async function requestDevice(
  provider: GpuProvider,
  adapter: GPUAdapter,
): Promise<GPUDevice> {
  const listed = WANTED.filter((name) => adapter.features.has(name));
  const requiredLimits = Object.fromEntries(
    LIMITS.map((name) => [name, adapter.limits[name]]),
  );
  if (provider === "deno" && !listed.includes(SUBGROUPS)) {
    try {
      // Deno lists what the standard had when it was built; its devices can do
      // subgroups nonetheless.
      return await adapter.requestDevice({
        requiredFeatures: [...listed, SUBGROUPS],
        requiredLimits,
      });
    } catch (error) {
      // TypeError: the adapter has no subgroups.
      if (!(error instanceof TypeError)) throw error;
    }
  }
  return await adapter.requestDevice({
    requiredFeatures: listed,
    requiredLimits,
  });
}

/**
 * What kernels may use.
 *
 * @param provider Whose device it is.
 * @param adapter Tells its matrix shapes and its vendor.
 * @param device Its features are those that were granted.
 */
export function featuresOf(
  provider: GpuProvider,
  adapter: GPUAdapter,
  device: Pick<GPUDevice, "features">,
): GpuFeatures {
  const { features } = device;
  return {
    f16: features.has("shader-f16"),
    subgroups: features.has(SUBGROUPS),
    subgroupMatrix: features.has(MATRIX_FEATURE) && hasMatrices(adapter.info),
    timestamps: features.has("timestamp-query") &&
      (provider === "dawn" || countsNanoseconds(adapter.info)),
  };
}

// Deno gives the adapter's own ticks and not their length. NVIDIA's (PCI id
// 4318) and llvmpipe's are nanoseconds; a wrong time is worse than none.
function countsNanoseconds(info: GPUAdapterInfo): boolean {
  return info.vendor === "4318" || info.isFallbackAdapter;
}

interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

function hasMatrices(info: GPUAdapterInfo): boolean {
  const { subgroupMatrixConfigs } = info as GPUAdapterInfo & {
    readonly subgroupMatrixConfigs?: Iterable<MatrixConfig>;
  };
  return [...subgroupMatrixConfigs ?? []].some((config) =>
    config.componentType === "f16" && config.resultComponentType === "f32" &&
    config.M === 16 && config.N === 16 && config.K === 16
  );
}

function missingDriver(provider: GpuProvider): string {
  return provider === "deno" && Deno.build.os !== "linux"
    ? "install the GPU's driver"
    : "install the GPU's Vulkan driver and the Vulkan loader (Debian: libvulkan1)";
}

/**
 * Vulkan's window system complains on standard error where the variable is
 * unset, as it is in containers; nothing here opens a window.
 */
async function withRuntimeFolder<T>(call: () => Promise<T>): Promise<T> {
  const name = "XDG_RUNTIME_DIR";
  const { state } = await Deno.permissions.query({
    name: "env",
    variable: name,
  });
  if (
    Deno.build.os !== "linux" || state !== "granted" || Deno.env.has(name)
  ) return await call();
  Deno.env.set(name, "/nonexistent");
  try {
    return await call();
  } finally {
    Deno.env.delete(name);
  }
}
