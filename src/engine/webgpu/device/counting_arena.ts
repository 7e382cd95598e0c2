// An arena without a device: what is allocated in it is counted, what is recorded
// in it cannot run. Plans are tried in it for the memory that they would take.

import type { AdapterFacts, Arena, Gpu, GpuFeatures } from "./gpu.ts";
import { slotBytes, UNIFORM_BYTES } from "./uniform_slots.ts";

/** What the adapter would be. */
export interface CountedAdapter {
  readonly facts: AdapterFacts;
  readonly features: GpuFeatures;
}

/** Counts bytes as BufferArena takes them. */
export class CountingArena implements Arena {
  readonly gpu: Gpu;
  #bytes = 0;
  #uniformLeft = 0;

  /** @param adapter Kernels and plans are chosen for it. */
  constructor({ facts, features }: CountedAdapter) {
    const nothing = () => {};
    const refuse = () =>
      Promise.reject(new TypeError("Cannot run what was only counted"));
    const layout = {} as GPUBindGroupLayout;
    const pipeline = {
      getBindGroupLayout: () => layout,
    } as unknown as GPUComputePipeline;
    const group = {} as GPUBindGroup;
    this.gpu = {
      device: { createBindGroup: () => group } as unknown as GPUDevice,
      facts,
      features,
      liveBytes: 0,
      pipeline: () => pipeline,
      arena: () => this,
      write: nothing,
      run: nothing,
      profile: refuse,
      read: refuse,
      settle: () => Promise.resolve(),
      destroy: () => Promise.resolve(),
    };
  }

  /** Bytes of all that was allocated. */
  get bytes(): number {
    return this.#bytes;
  }

  buffer(label: string, bytes: number): GPUBuffer {
    const size = Math.max(4, Math.ceil(bytes / 4) * 4);
    this.#bytes += size;
    return { label, size } as GPUBuffer;
  }

  upload(label: string, data: ArrayBufferView): GPUBuffer {
    return this.buffer(label, data.byteLength);
  }

  uniform(data: ArrayBuffer): GPUBufferBinding {
    const bytes = slotBytes(data.byteLength);
    if (bytes > this.#uniformLeft) {
      this.#bytes += UNIFORM_BYTES;
      this.#uniformLeft = UNIFORM_BYTES;
    }
    this.#uniformLeft -= bytes;
    return { buffer: {} as GPUBuffer, size: data.byteLength };
  }

  destroy(): void {}
}
