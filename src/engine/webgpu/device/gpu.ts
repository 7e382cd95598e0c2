// A GPU as kernels and plans see it: a GPUDevice with what it can do, memory
// that is counted and freed together, work that is submitted in one pass, and
// faults that come back as errors. Types only; open_gpu.ts makes one.

/** "deno": Deno's own WebGPU (wgpu). "dawn": npm:webgpu inside Deno. */
export type GpuProvider = "deno" | "dawn";

/** What an adapter is, for records and for choosing kernels. */
export interface AdapterFacts {
  readonly provider: GpuProvider;
  /** As the driver names it: "NVIDIA H100 80GB HBM3". */
  readonly name: string;
  readonly vendor: string;
  /** "" where the provider does not tell. */
  readonly driver: string;
  /** A rasterizer on the CPU: right, slow, never to be timed. */
  readonly software: boolean;
  /** Lanes of a subgroup where all have as many; 0 where unknown or varying. */
  readonly subgroupSize: number;
  readonly limits: GpuLimits;
}

/** The limits that kernels and plans keep to; requested from the adapter in full. */
export interface GpuLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupsPerDimension: number;
}

/** Optional abilities, requested wherever the adapter has them. */
export interface GpuFeatures {
  readonly f16: boolean;
  readonly subgroups: boolean;
  /** 16x16x16 f16 matrices with f32 accumulators. */
  readonly subgroupMatrix: boolean;
  readonly timestamps: boolean;
}

/** One dispatch, ready to be recorded any number of times. */
export interface Dispatch {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly grid: readonly [x: number, y: number, z: number];
  /** Bytes that must move at least, for rooflines. */
  readonly bytes: number;
  /** Floating-point operations, a multiply-add being two. */
  readonly flops: number;
}

/** A copy between buffers, in order with the dispatches around it. */
export interface Copy {
  readonly copy: {
    readonly from: GPUBuffer;
    readonly fromOffset: number;
    readonly to: GPUBuffer;
    readonly toOffset: number;
    readonly bytes: number;
  };
}

/** What run() takes. */
export type Work = Dispatch | Copy;

/** Buffers that are destroyed together. */
export interface Arena {
  readonly gpu: Gpu;
  /**
   * A zeroed storage buffer that copies can read and write.
   *
   * @param label Names it in errors.
   * @param bytes Rounded up to a multiple of 4.
   * @throws {RangeError} If it is over the device's buffer limit.
   */
  buffer(label: string, bytes: number): GPUBuffer;
  /** A storage buffer with these contents. */
  upload(label: string, data: ArrayBufferView): GPUBuffer;
  /** A read-only uniform with these bytes, in a slot of a larger buffer. */
  uniform(data: ArrayBuffer): GPUBufferBinding;
  /** Destroys all of it; twice is once. */
  destroy(): void;
}

/** An open device. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly facts: AdapterFacts;
  readonly features: GpuFeatures;
  /** Bytes of all buffers that arenas hold now, uniform buffers included. */
  readonly liveBytes: number;
  /** Compiles, once for equal code; faults appear in settle(). */
  pipeline(label: string, code: string): GPUComputePipeline;
  arena(): Arena;
  /** Overwrites part of a buffer, in order with submitted work. */
  write(buffer: GPUBuffer, byteOffset: number, data: ArrayBufferView): void;
  /** Submits work: one command buffer, a compute pass for each run of dispatches. */
  run(work: readonly Work[]): void;
  /**
   * Runs dispatches one after the other and times each on the device.
   *
   * @returns Seconds of each, [dispatches.length].
   * @throws {RangeError} If the device has no timestamps.
   */
  profile(dispatches: readonly Dispatch[]): Promise<Float64Array>;
  /** Contents of a buffer after all work submitted before; throws what settle() throws. */
  read(
    buffer: GPUBuffer,
    byteOffset: number,
    bytes: number,
  ): Promise<ArrayBuffer>;
  /**
   * Waits for all submitted work.
   *
   * @throws {GpuError} The first fault since the last call: out of memory, a shader's compile error, a validation error, a lost device.
   */
  settle(): Promise<void>;
  destroy(): Promise<void>;
}
