// How long dispatches take on the device, by timestamps at both ends of a pass.

import type { Dispatch } from "./gpu.ts";

/** Dispatches in one query set; a set holds at most 4096 timestamps. */
const BATCH = 512;

const TIMESTAMP_BYTES = 8;

/**
 * Runs dispatches one after the other, each in a pass of its own, and times them.
 *
 * @param device With timestamps.
 * @param dispatches What to run.
 * @param read Reads a buffer.
 * @returns Seconds of each, [dispatches.length].
 */
export async function timeDispatches(
  device: GPUDevice,
  dispatches: readonly Dispatch[],
  read: (buffer: GPUBuffer, bytes: number) => Promise<ArrayBuffer>,
): Promise<Float64Array> {
  const seconds = new Float64Array(dispatches.length);
  if (dispatches.length === 0) return seconds;
  const count = 2 * Math.min(BATCH, dispatches.length);
  const querySet = device.createQuerySet({ type: "timestamp", count });
  const resolved = device.createBuffer({
    label: "timestamps",
    size: count * TIMESTAMP_BYTES,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  try {
    for (let first = 0; first < dispatches.length; first += BATCH) {
      const batch = dispatches.slice(first, first + BATCH);
      const encoder = device.createCommandEncoder({ label: "profile" });
      for (const [i, dispatch] of batch.entries()) {
        const pass = encoder.beginComputePass({
          label: dispatch.label,
          timestampWrites: {
            querySet,
            beginningOfPassWriteIndex: 2 * i,
            endOfPassWriteIndex: 2 * i + 1,
          },
        });
        pass.setPipeline(dispatch.pipeline);
        pass.setBindGroup(0, dispatch.bindGroup);
        pass.dispatchWorkgroups(...dispatch.grid);
        pass.end();
      }
      encoder.resolveQuerySet(querySet, 0, 2 * batch.length, resolved, 0);
      device.queue.submit([encoder.finish()]);
      const ticks = new BigUint64Array(
        await read(resolved, 2 * batch.length * TIMESTAMP_BYTES),
      );
      for (let i = 0; i < batch.length; i++) {
        seconds[first + i] = Number(ticks[2 * i + 1]! - ticks[2 * i]!) * 1e-9;
      }
    }
  } finally {
    querySet.destroy();
    resolved.destroy();
  }
  return seconds;
}

/**
 * Runs dispatches in one pass, as they run in earnest, and times all of it.
 *
 * @param device With timestamps.
 * @param dispatches What to run.
 * @param read Reads a buffer.
 * @returns Seconds from the first's start to the last's end.
 */
export async function timePass(
  device: GPUDevice,
  dispatches: readonly Dispatch[],
  read: (buffer: GPUBuffer, bytes: number) => Promise<ArrayBuffer>,
): Promise<number> {
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
  const resolved = device.createBuffer({
    label: "timestamps",
    size: 2 * TIMESTAMP_BYTES,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  try {
    const encoder = device.createCommandEncoder({ label: "timed pass" });
    const pass = encoder.beginComputePass({
      timestampWrites: {
        querySet,
        beginningOfPassWriteIndex: 0,
        endOfPassWriteIndex: 1,
      },
    });
    for (const { pipeline, bindGroup, grid } of dispatches) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...grid);
    }
    pass.end();
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    device.queue.submit([encoder.finish()]);
    const [start, end] = new BigUint64Array(
      await read(resolved, 2 * TIMESTAMP_BYTES),
    );
    return Number(end! - start!) * 1e-9;
  } finally {
    querySet.destroy();
    resolved.destroy();
  }
}
