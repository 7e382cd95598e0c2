// The open device: see gpu.ts for what its parts promise.

import { type ArenaHost, BufferArena } from "./arena.ts";
import { beginWait } from "./dawn_provider.ts";
import { FaultLog, GpuError, nextTurn } from "./faults.ts";
import type {
  AdapterFacts,
  Arena,
  Dispatch,
  Gpu,
  GpuFeatures,
  Work,
} from "./gpu.ts";
import { checkRange } from "./ranges.ts";
import { Readback } from "./readback.ts";
import { shaderFault } from "./shader_fault.ts";
import { timeDispatches } from "./timing.ts";

/** The queue takes data in pieces of this size. */
const WRITE_BYTES = 64 * 2 ** 20;
/** Written bytes are staged until something is submitted, and on Deno until something is waited for. */
const SUBMIT_EVERY = 256 * 2 ** 20;
const WAIT_EVERY = 2 ** 30;

/** A device with its memory, pipelines and faults. */
export class GpuDevice implements Gpu {
  readonly device: GPUDevice;
  readonly facts: AdapterFacts;
  readonly features: GpuFeatures;
  readonly #faults: FaultLog;
  readonly #readback: Readback;
  readonly #host: ArenaHost;
  readonly #arenas = new Set<BufferArena>();
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  #liveBytes = 0;
  #unsubmitted = 0;
  #unwaited = 0;
  #closed = false;

  private constructor(
    device: GPUDevice,
    facts: AdapterFacts,
    features: GpuFeatures,
    faults: FaultLog,
    readback: Readback,
  ) {
    this.device = device;
    this.facts = facts;
    this.features = features;
    this.#faults = faults;
    this.#readback = readback;
    this.#host = {
      gpu: this,
      faults: this.#faults,
      count: (bytes) => this.#liveBytes += bytes,
    };
  }

  /**
   * Takes a device over.
   *
   * @param device Nothing else may destroy it.
   * @param facts What its adapter is.
   * @param features What kernels may use.
   * @throws {GpuError} If it has no memory even for small buffers.
   */
  static async open(
    device: GPUDevice,
    facts: AdapterFacts,
    features: GpuFeatures,
  ): Promise<GpuDevice> {
    const faults = new FaultLog(device, facts.provider === "deno");
    try {
      const readback = await Readback.open(device, facts.provider);
      return new GpuDevice(device, facts, features, faults, readback);
    } catch (error) {
      device.destroy();
      return await faults.fail(error);
    }
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  pipeline(label: string, code: string): GPUComputePipeline {
    this.#faults.throwIfLost();
    const cached = this.#pipelines.get(code);
    if (cached !== undefined) return cached;
    let module: GPUShaderModule | undefined;
    const pipeline = this.#faults.guard(
      (fault) => {
        // Asked for again, it fails again, rather than be used.
        this.#pipelines.delete(code);
        return shaderFault(label, code, module, fault);
      },
      () => {
        module = this.device.createShaderModule({ label, code });
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
    this.#faults.throwIfLost();
    const arena = new BufferArena(
      this.#host,
      (arena) => this.#arenas.delete(arena),
    );
    this.#arenas.add(arena);
    return arena;
  }

  write(buffer: GPUBuffer, byteOffset: number, data: ArrayBufferView): void {
    this.#faults.throwIfLost();
    checkRange("write to", buffer, byteOffset, data.byteLength, 4);
    for (let start = 0; start < data.byteLength; start += WRITE_BYTES) {
      const bytes = Math.min(WRITE_BYTES, data.byteLength - start);
      this.device.queue.writeBuffer(
        buffer,
        byteOffset + start,
        data.buffer as ArrayBuffer,
        data.byteOffset + start,
        bytes,
      );
      this.#unsubmitted += bytes;
      this.#unwaited += bytes;
      if (this.#unsubmitted >= SUBMIT_EVERY) this.#submit([]);
      if (this.#unwaited >= WAIT_EVERY) this.#waitQuietly();
    }
  }

  run(work: readonly Work[]): void {
    this.#faults.throwIfLost();
    if (work.length === 0) return;
    this.#faults.guard(
      ({ memory, message }) =>
        memory
          ? new GpuError(
            "out-of-memory",
            `GPU out of memory: cannot run ${
              namesOf(work)
            } beside ${this.#liveBytes} bytes that are live: ${message}`,
          )
          : new GpuError(
            "validation",
            `Cannot run ${namesOf(work)}: ${message}`,
          ),
      () => this.#submit([this.#encode(work)]),
    );
  }

  async profile(dispatches: readonly Dispatch[]): Promise<Float64Array> {
    this.#faults.throwIfLost();
    if (!this.features.timestamps) {
      throw new RangeError(
        `Cannot time dispatches on ${this.facts.name} as it has no timestamps in nanoseconds`,
      );
    }
    return await timeDispatches(
      this.device,
      dispatches,
      (buffer, bytes) => this.read(buffer, 0, bytes),
    );
  }

  async read(
    buffer: GPUBuffer,
    byteOffset: number,
    bytes: number,
  ): Promise<ArrayBuffer> {
    this.#faults.throwIfLost();
    checkRange("read", buffer, byteOffset, bytes, 1);
    // Copies start and end at multiples of 4, as buffers do.
    if (this.facts.provider === "dawn") beginWait();
    const start = byteOffset - byteOffset % 4;
    const end = Math.ceil((byteOffset + bytes) / 4) * 4;
    let data: ArrayBuffer;
    try {
      data = end === start
        ? new ArrayBuffer(0)
        : await this.#readback.read(buffer, start, end - start);
    } catch (error) {
      return await this.#faults.fail(error);
    }
    await this.#faults.check();
    return end - start === bytes
      ? data
      : data.slice(byteOffset - start, byteOffset - start + bytes);
  }

  async settle(): Promise<void> {
    this.#faults.throwIfLost();
    // What was written is staged until it is submitted.
    if (this.#unsubmitted > 0) this.#submit([]);
    if (this.facts.provider === "dawn") beginWait();
    try {
      if (!this.#readback.wait()) {
        await this.device.queue.onSubmittedWorkDone();
      }
    } catch (error) {
      await this.#faults.fail(error);
    }
    // Events of the device, its loss among them, come with a turn.
    await nextTurn();
    await this.#faults.check();
  }

  async destroy(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // Deno frees what is destroyed when the device is waited for, and what was
    // written after it was submitted.
    this.#submit([]);
    for (const arena of this.#arenas) arena.destroy();
    this.#pipelines.clear();
    this.#waitQuietly();
    this.#readback.destroy();
    this.#faults.close();
    this.device.destroy();
    await this.device.lost;
  }

  #encode(work: readonly Work[]): GPUCommandBuffer {
    const encoder = this.device.createCommandEncoder();
    let pass: GPUComputePassEncoder | undefined;
    for (const item of work) {
      if ("copy" in item) {
        pass?.end();
        pass = undefined;
        const { from, fromOffset, to, toOffset, bytes } = item.copy;
        checkRange("copy from", from, fromOffset, bytes, 4);
        checkRange("copy to", to, toOffset, bytes, 4);
        encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
        continue;
      }
      pass ??= encoder.beginComputePass();
      pass.setPipeline(item.pipeline);
      pass.setBindGroup(0, item.bindGroup);
      pass.dispatchWorkgroups(item.grid[0], item.grid[1], item.grid[2]);
    }
    pass?.end();
    return encoder.finish();
  }

  #submit(commands: readonly GPUCommandBuffer[]): void {
    this.device.queue.submit([...commands]);
    this.#unsubmitted = 0;
  }

  #waitQuietly(): void {
    try {
      this.#readback.wait();
    } catch {
      // What is wrong with the device is said by the next read or settle().
    }
    this.#unwaited = 0;
  }
}

function namesOf(work: readonly Work[]): string {
  const names = new Set(
    work.map((item) => "copy" in item ? "copy" : item.label),
  );
  const shown = [...names].slice(0, 4).join(", ");
  return names.size > 4 ? `${shown} and ${names.size - 4} others` : shown;
}
