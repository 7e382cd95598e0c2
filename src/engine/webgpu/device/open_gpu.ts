// Opens a device of either provider.

import { UnavailableError } from "../../../base/errors.ts";
import { adapterFacts } from "./adapter_facts.ts";
import { type ArenaHost, BufferArena } from "./arena.ts";
import { dawnGpu } from "./dawn_provider.ts";
import { FaultLog, GpuError } from "./faults.ts";
import type {
  AdapterFacts,
  Arena,
  Dispatch,
  Gpu,
  GpuFeatures,
  GpuProvider,
  Work,
} from "./gpu.ts";

/** How to open a device. */
export interface OpenGpuOptions {
  readonly provider: GpuProvider;
}

// Not in the standard, so not in its types.
const MATRIX_FEATURE =
  "chromium-experimental-subgroup-matrix" as GPUFeatureName;
const WANTED = ["shader-f16", "timestamp-query", "subgroups", MATRIX_FEATURE];

/**
 * Opens a device with all that the adapter offers.
 *
 * @param options Which provider.
 * @returns The device; close it with destroy().
 * @throws {UnavailableError} If the provider finds no adapter.
 */
export async function openGpu(options: OpenGpuOptions): Promise<Gpu> {
  const { provider } = options;
  const adapter = await findAdapter(provider);
  const device = await openDevice(provider, adapter);
  const facts = await adapterFacts(provider, adapter, device.limits);
  const features: GpuFeatures = {
    f16: device.features.has("shader-f16"),
    subgroups: device.features.has("subgroups"),
    subgroupMatrix: device.features.has(MATRIX_FEATURE),
    timestamps: device.features.has("timestamp-query"),
  };
  return new OpenGpu(device, facts, features);
}

async function findAdapter(provider: GpuProvider): Promise<GPUAdapter> {
  const gpu = provider === "dawn" ? await dawnGpu() : navigator.gpu;
  const adapter = await gpu?.requestAdapter({
    powerPreference: "high-performance",
  });
  if (adapter) return adapter;
  throw new UnavailableError(`Cannot find a GPU through ${provider}`);
}

async function openDevice(
  provider: GpuProvider,
  adapter: GPUAdapter,
): Promise<GPUDevice> {
  const features = WANTED.filter((name) =>
    adapter.features.has(name as GPUFeatureName) ||
    (name === "subgroups" && provider === "deno")
  ) as GPUFeatureName[];
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") requiredLimits[name] = value;
  }
  return await adapter.requestDevice({
    requiredFeatures: features,
    requiredLimits,
  });
}

class OpenGpu implements Gpu {
  readonly device: GPUDevice;
  readonly facts: AdapterFacts;
  readonly features: GpuFeatures;
  readonly #faults: FaultLog;
  readonly #host: ArenaHost;
  readonly #arenas = new Set<BufferArena>();
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  #liveBytes = 0;

  constructor(device: GPUDevice, facts: AdapterFacts, features: GpuFeatures) {
    this.device = device;
    this.facts = facts;
    this.features = features;
    this.#faults = new FaultLog(device, facts.provider === "deno");
    this.#host = {
      gpu: this,
      faults: this.#faults,
      count: (bytes) => this.#liveBytes += bytes,
    };
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  pipeline(label: string, code: string): GPUComputePipeline {
    const cached = this.#pipelines.get(code);
    if (cached !== undefined) return cached;
    const pipeline = this.#faults.guard(
      (error) =>
        new GpuError("shader", `Cannot compile ${label}: ${error.message}`),
      () => {
        const module = this.device.createShaderModule({ label, code });
        return this.device.createComputePipeline({
          label,
          layout: "auto",
          compute: { module, entryPoint: "main" },
        });
      },
    );
    this.#pipelines.set(code, pipeline);
    return pipeline;
  }

  arena(): Arena {
    const arena = new BufferArena(
      this.#host,
      (arena) => this.#arenas.delete(arena),
    );
    this.#arenas.add(arena);
    return arena;
  }

  write(buffer: GPUBuffer, byteOffset: number, data: ArrayBufferView): void {
    this.#faults.throwIfLost();
    this.device.queue.writeBuffer(
      buffer,
      byteOffset,
      data.buffer as ArrayBuffer,
      data.byteOffset,
      data.byteLength,
    );
  }

  run(work: readonly Work[]): void {
    this.#faults.throwIfLost();
    const encoder = this.device.createCommandEncoder();
    let pass: GPUComputePassEncoder | undefined;
    for (const item of work) {
      if ("copy" in item) {
        pass?.end();
        pass = undefined;
        const { from, fromOffset, to, toOffset, bytes } = item.copy;
        encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
        continue;
      }
      pass ??= encoder.beginComputePass();
      pass.setPipeline(item.pipeline);
      pass.setBindGroup(0, item.bindGroup);
      pass.dispatchWorkgroups(...item.grid);
    }
    pass?.end();
    this.device.queue.submit([encoder.finish()]);
  }

  async profile(dispatches: readonly Dispatch[]): Promise<Float64Array> {
    if (!this.features.timestamps) {
      throw new RangeError("Cannot profile on a device without timestamps");
    }
    const seconds = new Float64Array(dispatches.length);
    const set = this.device.createQuerySet({ type: "timestamp", count: 2 });
    const out = this.device.createBuffer({
      size: 16,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    for (const [i, dispatch] of dispatches.entries()) {
      const encoder = this.device.createCommandEncoder();
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet: set,
          beginningOfPassWriteIndex: 0,
          endOfPassWriteIndex: 1,
        },
      });
      pass.setPipeline(dispatch.pipeline);
      pass.setBindGroup(0, dispatch.bindGroup);
      pass.dispatchWorkgroups(...dispatch.grid);
      pass.end();
      encoder.resolveQuerySet(set, 0, 2, out, 0);
      this.device.queue.submit([encoder.finish()]);
      const [start, end] = new BigInt64Array(await this.read(out, 0, 16));
      seconds[i] = Number(end! - start!) * 1e-9;
    }
    set.destroy();
    out.destroy();
    return seconds;
  }

  async read(
    buffer: GPUBuffer,
    byteOffset: number,
    bytes: number,
  ): Promise<ArrayBuffer> {
    this.#faults.throwIfLost();
    const size = Math.ceil(bytes / 4) * 4;
    const staging = this.device.createBuffer({
      size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, byteOffset, staging, 0, size);
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const copy = staging.getMappedRange().slice(0, bytes);
    staging.destroy();
    await this.#faults.check();
    return copy;
  }

  async settle(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone();
    await this.#faults.check();
  }

  destroy(): Promise<void> {
    for (const arena of this.#arenas) arena.destroy();
    this.#faults.close();
    this.device.destroy();
    return Promise.resolve();
  }
}
