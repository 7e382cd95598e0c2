// The memory bandwidth that a copy reaches: what rooflines are measured against.

import type { Arena, Dispatch, Gpu } from "./gpu.ts";

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
    const most = gpu.facts.software ? SOFTWARE_BYTES : GPU_BYTES;
    const [there, back] = recordCopies(arena, most);
    const bytes = there.bytes / 2;
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

/**
 * Records a copy between two buffers, and the copy back.
 *
 * @param arena Owns the buffers.
 * @param most Bytes of one at most.
 */
export function recordCopies(
  arena: Arena,
  most: number,
): [there: Dispatch, back: Dispatch] {
  const { gpu } = arena;
  const { limits } = gpu.facts;
  const bytes = Math.min(
    most,
    limits.maxBufferSize,
    limits.maxStorageBufferBindingSize,
    limits.maxComputeWorkgroupsPerDimension * WORKGROUP_BYTES,
  );
  const workgroups = Math.floor(bytes / WORKGROUP_BYTES);
  const size = workgroups * WORKGROUP_BYTES;
  const from = arena.buffer("copy from", size);
  const to = arena.buffer("copy to", size);
  return [
    copyDispatch(gpu, [from, to], workgroups),
    copyDispatch(gpu, [to, from], workgroups),
  ];
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
