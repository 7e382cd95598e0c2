// The memory bandwidth that a copy reaches: what rooflines are measured against.

import type { Dispatch, Gpu } from "./gpu.ts";

/** Far beyond any cache. */
const GPU_BYTES = 512 * 2 ** 20;
const SOFTWARE_BYTES = 32 * 2 ** 20;

const THREADS = 256;
/** Vectors of 16 bytes a thread, all in flight at once. */
const VECTORS = 4;
const WORKGROUP_BYTES = THREADS * VECTORS * 16;

const REPETITIONS = 8;

const steps = (write: (i: number) => string) =>
  Array.from({ length: VECTORS }, (_, i) => write(i)).join("\n");

// Neighboring threads read neighboring vectors.
const CODE = `
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> copied: array<vec4<u32>>;

@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let first = workgroup.x * ${THREADS * VECTORS}u + thread;
${steps((i) => `  let v${i} = source[first + ${i * THREADS}u];`)}
${steps((i) => `  copied[first + ${i * THREADS}u] = v${i};`)}
}
`;

/** A measured copy. */
export interface CopyBandwidth {
  /** Bytes read and written a second, the best of several copies. */
  readonly bytesPerSecond: number;
  /** "timestamps": the device's own clock. "wall": the host's, less an empty submit. */
  readonly clock: "timestamps" | "wall";
}

/**
 * Measures how fast a device copies memory.
 *
 * @param gpu The device; up to 1 GiB of it is taken for the time being.
 * @returns The best of several copies.
 * @throws {GpuError} If the device runs out of memory or is lost.
 */
export async function copyBandwidth(gpu: Gpu): Promise<CopyBandwidth> {
  const arena = gpu.arena();
  try {
    const { limits, software } = gpu.facts;
    const most = Math.min(
      software ? SOFTWARE_BYTES : GPU_BYTES,
      limits.maxBufferSize,
      limits.maxStorageBufferBindingSize,
      limits.maxComputeWorkgroupsPerDimension * WORKGROUP_BYTES,
    );
    const workgroups = Math.floor(most / WORKGROUP_BYTES);
    const bytes = workgroups * WORKGROUP_BYTES;
    const buffers = [
      arena.buffer("copy from", bytes),
      arena.buffer("copy to", bytes),
    ] as const;
    const there = copyDispatch(gpu, buffers, workgroups);
    const back = copyDispatch(gpu, [buffers[1], buffers[0]], workgroups);
    // Memory is zeroed and the pipeline built with the first use.
    gpu.run([there, back]);
    await gpu.settle();
    const seconds = gpu.features.timestamps
      ? await bestByTimestamps(gpu, there, back)
      : await bestByWall(gpu, there, back);
    return {
      bytesPerSecond: 2 * bytes / seconds,
      clock: gpu.features.timestamps ? "timestamps" : "wall",
    };
  } finally {
    arena.destroy();
  }
}

function copyDispatch(
  gpu: Gpu,
  [from, to]: readonly [GPUBuffer, GPUBuffer],
  workgroups: number,
): Dispatch {
  const pipeline = gpu.pipeline("copy", CODE);
  return {
    label: "copy",
    pipeline,
    bindGroup: gpu.device.createBindGroup({
      label: "copy",
      layout: pipeline.getBindGroupLayout(0),
      entries: [from, to].map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    }),
    grid: [workgroups, 1, 1],
    bytes: 2 * from.size,
    flops: 0,
  };
}

async function bestByTimestamps(
  gpu: Gpu,
  there: Dispatch,
  back: Dispatch,
): Promise<number> {
  const work = Array.from(
    { length: REPETITIONS },
    (_, i) => i % 2 === 0 ? there : back,
  );
  const seconds = await gpu.profile(work);
  // A clock that stands still measures nothing.
  return Math.min(...seconds.filter((s) => s > 0));
}

async function bestByWall(
  gpu: Gpu,
  there: Dispatch,
  back: Dispatch,
): Promise<number> {
  let empty = Infinity;
  let full = Infinity;
  for (let i = 0; i < REPETITIONS; i++) {
    const start = performance.now();
    await gpu.settle();
    const middle = performance.now();
    gpu.run([there, back]);
    await gpu.settle();
    empty = Math.min(empty, middle - start);
    full = Math.min(full, performance.now() - middle);
  }
  return Math.max(full - empty, 1e-6) / 2000;
}
