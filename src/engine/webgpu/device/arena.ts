// Buffers that are destroyed together, and counted while they live.

import { type FaultLog, GpuError } from "./faults.ts";
import type { Arena, Gpu } from "./gpu.ts";
import { slotBytes, UNIFORM_BYTES } from "./uniform_slots.ts";

/** What an arena needs of its device. */
export interface ArenaHost {
  readonly gpu: Gpu;
  readonly faults: FaultLog;
  /** Counts bytes in or, negative, out. */
  count(bytes: number): void;
}

/** The arena. */
export class BufferArena implements Arena {
  readonly gpu: Gpu;
  readonly #host: ArenaHost;
  readonly #onDestroy: (arena: BufferArena) => void;
  readonly #buffers: GPUBuffer[] = [];
  #bytes = 0;
  #slots: GPUBuffer | undefined;
  #slotsUsed = 0;
  #destroyed = false;

  constructor(host: ArenaHost, onDestroy: (arena: BufferArena) => void) {
    this.gpu = host.gpu;
    this.#host = host;
    this.#onDestroy = onDestroy;
  }

  buffer(label: string, bytes: number): GPUBuffer {
    return this.#create(
      label,
      bytes,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC |
        GPUBufferUsage.COPY_DST,
    );
  }

  upload(label: string, data: ArrayBufferView): GPUBuffer {
    const buffer = this.buffer(label, data.byteLength);
    const whole = data.byteLength - data.byteLength % 4;
    const bytes = new Uint8Array(
      data.buffer,
      data.byteOffset,
      data.byteLength,
    );
    if (whole > 0) this.gpu.write(buffer, 0, bytes.subarray(0, whole));
    if (whole < data.byteLength) {
      const tail = new Uint8Array(4);
      tail.set(bytes.subarray(whole));
      this.gpu.write(buffer, whole, tail);
    }
    return buffer;
  }

  uniform(data: ArrayBuffer): GPUBufferBinding {
    const bytes = slotBytes(data.byteLength);
    if (bytes > UNIFORM_BYTES) {
      throw new RangeError(
        `Cannot bind a uniform as its bytes must be <= ${UNIFORM_BYTES}: current value is ${data.byteLength}`,
      );
    }
    if (
      this.#slots === undefined || this.#slotsUsed + bytes > UNIFORM_BYTES
    ) {
      this.#slots = this.#create(
        "uniforms",
        UNIFORM_BYTES,
        GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      );
      this.#slotsUsed = 0;
    }
    const offset = this.#slotsUsed;
    this.#slotsUsed += bytes;
    this.gpu.write(this.#slots, offset, new Uint8Array(data));
    return { buffer: this.#slots, offset, size: data.byteLength };
  }

  destroy(): void {
    if (this.#destroyed) return;
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.length = 0;
    this.#count(-this.#bytes);
    this.#destroyed = true;
    this.#onDestroy(this);
  }

  #create(label: string, bytes: number, usage: number): GPUBuffer {
    if (this.#destroyed) {
      throw new RangeError(`Cannot create ${label} in a destroyed arena`);
    }
    const limit = this.gpu.facts.limits.maxBufferSize;
    const size = Math.max(4, Math.ceil(bytes / 4) * 4);
    if (!(Number.isSafeInteger(bytes) && bytes >= 0 && size <= limit)) {
      throw new RangeError(
        `Cannot create buffer ${label} as its bytes must be in 0..${limit}: current value is ${bytes}`,
      );
    }
    const live = this.gpu.liveBytes;
    const buffer = this.#host.faults.guard(
      ({ memory, message }) => {
        this.#count(-size);
        return memory
          ? new GpuError(
            "out-of-memory",
            `GPU out of memory: cannot create buffer ${label} of ${size} bytes beside ${live} bytes that are live`,
          )
          : new GpuError(
            "validation",
            `Cannot create buffer ${label} of ${size} bytes: ${message}`,
          );
      },
      () => this.gpu.device.createBuffer({ label, size, usage }),
    );
    this.#buffers.push(buffer);
    this.#count(size);
    return buffer;
  }

  #count(bytes: number): void {
    // Whatever is found out late, a destroyed arena holds nothing.
    if (this.#destroyed) return;
    this.#bytes += bytes;
    this.#host.count(bytes);
  }
}
