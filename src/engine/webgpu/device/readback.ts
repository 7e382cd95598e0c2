// Contents of buffers, read through staging buffers that can be mapped.
//
// Deno resolves the promise of mapAsync() 10 ms late, but has waited for the
// device and mapped the buffer when mapAsync() returns: getMappedRange() works at
// once on a buffer whose mapping was awaited once before. A self-test at the start
// decides whether it does; where it does not, and on Dawn, the promise is awaited.

import { nextTurn } from "./faults.ts";
import type { GpuProvider } from "./gpu.ts";

const SMALL_BYTES = 65536;
/** Staging buffers take turns, so that a late promise finds its buffer unmapped. */
const SMALL_COUNT = 4;
/** Larger reads go through a buffer of at most this size, piece by piece. */
const LARGE_BYTES = 64 * 2 ** 20;

/** Milliseconds after which a loop of reads lets the event loop turn. */
const TURN_MS = 50;

/** Reads buffers of one device. */
export class Readback {
  readonly #device: GPUDevice;
  /** Unmapped and at rest; on the immediate path each was mapped and awaited before. */
  readonly #idle: GPUBuffer[] = [];
  #immediate = false;
  #lastTurn = performance.now();

  private constructor(device: GPUDevice) {
    this.#device = device;
  }

  /**
   * Prepares the staging buffers.
   *
   * @param device The device.
   * @param provider "deno" may read without awaiting, if the self-test says so.
   */
  static async open(
    device: GPUDevice,
    provider: GpuProvider,
  ): Promise<Readback> {
    const readback = new Readback(device);
    for (let i = 0; i < SMALL_COUNT; i++) {
      readback.#idle.push(readback.#staging(SMALL_BYTES));
    }
    if (provider === "deno") {
      await Promise.all(readback.#idle.map(async (staging) => {
        await staging.mapAsync(GPUMapMode.READ);
        staging.unmap();
      }));
      readback.#immediate = readback.#selfTest();
      // What failed may be left mapped: start anew.
      if (!readback.#immediate) readback.destroy();
    }
    return readback;
  }

  /** Whether reads return as soon as the device is done. */
  get immediate(): boolean {
    return this.#immediate;
  }

  /**
   * Reads after all work submitted before; work submitted later is not waited
   * for by the contents.
   *
   * @param source What to read.
   * @param byteOffset A multiple of 4.
   * @param bytes A multiple of 4, at least 4.
   */
  async read(
    source: GPUBuffer,
    byteOffset: number,
    bytes: number,
  ): Promise<ArrayBuffer> {
    if (!this.#immediate) {
      return await this.#readAwaited(source, byteOffset, bytes);
    }
    const ready = this.#idle.findLastIndex(({ size }) =>
      size >= Math.min(bytes, LARGE_BYTES)
    );
    if (ready < 0) return await this.#readAwaited(source, byteOffset, bytes);
    const data = this.#readAtOnce(source, byteOffset, bytes, ready);
    // The late promises pile up and nothing else runs while reads follow reads.
    if (performance.now() - this.#lastTurn > TURN_MS) {
      await nextTurn();
      this.#lastTurn = performance.now();
    }
    return data;
  }

  /**
   * Waits for the device without a turn of the event loop.
   *
   * @returns False where that cannot be done.
   * @throws {DOMException} If the device cannot do it any more.
   */
  wait(): boolean {
    if (!this.#immediate) return false;
    const staging = this.#idle.shift()!;
    this.#idle.push(staging);
    this.#mapAtOnce(staging, new Uint8Array(4));
    return true;
  }

  destroy(): void {
    this.#immediate = false;
    for (const staging of this.#idle) staging.destroy();
    this.#idle.length = 0;
  }

  #readAtOnce(
    source: GPUBuffer,
    byteOffset: number,
    bytes: number,
    index: number,
  ): ArrayBuffer {
    const [staging] = this.#idle.splice(index, 1) as [GPUBuffer];
    // To the front: the next read takes another one of the same size.
    this.#idle.unshift(staging);
    const whole = new Uint8Array(bytes);
    for (let done = 0; done < bytes; done += staging.size) {
      const piece = Math.min(staging.size, bytes - done);
      this.#copy(source, byteOffset + done, staging, piece);
      this.#mapAtOnce(staging, whole.subarray(done, done + piece));
    }
    return whole.buffer;
  }

  #mapAtOnce(staging: GPUBuffer, into: Uint8Array): void {
    // The call waits for the device; its promise says nothing that the next
    // line does not.
    staging.mapAsync(GPUMapMode.READ, 0, into.length).catch(() => {});
    into.set(new Uint8Array(staging.getMappedRange(0, into.length)));
    staging.unmap();
  }

  /** All copies are submitted before the first is awaited: later work must not change what is read. */
  async #readAwaited(
    source: GPUBuffer,
    byteOffset: number,
    bytes: number,
  ): Promise<ArrayBuffer> {
    const pieces: { staging: GPUBuffer; start: number; bytes: number }[] = [];
    for (let start = 0; start < bytes; start += LARGE_BYTES) {
      const piece = Math.min(LARGE_BYTES, bytes - start);
      const staging = this.#take(piece);
      this.#copy(source, byteOffset + start, staging, piece);
      pieces.push({ staging, start, bytes: piece });
    }
    const whole = new Uint8Array(bytes);
    try {
      await Promise.all(pieces.map(async ({ staging, start, bytes }) => {
        await staging.mapAsync(GPUMapMode.READ, 0, bytes);
        whole.set(new Uint8Array(staging.getMappedRange(0, bytes)), start);
        staging.unmap();
      }));
    } catch (error) {
      for (const { staging } of pieces) staging.destroy();
      throw error;
    }
    for (const { staging } of pieces) this.#giveBack(staging);
    return whole.buffer;
  }

  #take(bytes: number): GPUBuffer {
    const index = this.#immediate
      ? -1
      : this.#idle.findIndex(({ size }) => size >= bytes);
    if (index >= 0) return this.#idle.splice(index, 1)[0]!;
    return this.#staging(
      Math.max(SMALL_BYTES, 2 ** Math.ceil(Math.log2(bytes))),
    );
  }

  /** Keeps the small ones and one large one, the largest so far. */
  #giveBack(staging: GPUBuffer): void {
    if (staging.size === SMALL_BYTES) {
      const small = this.#idle.filter(({ size }) => size === SMALL_BYTES);
      if (small.length < SMALL_COUNT) this.#idle.push(staging);
      else staging.destroy();
      return;
    }
    const large = this.#idle.findIndex(({ size }) => size > SMALL_BYTES);
    if (large < 0) {
      this.#idle.push(staging);
    } else if (this.#idle[large]!.size < staging.size) {
      this.#idle[large]!.destroy();
      this.#idle[large] = staging;
    } else {
      staging.destroy();
    }
  }

  #staging(size: number): GPUBuffer {
    return this.#device.createBuffer({
      label: "staging",
      size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  #copy(
    from: GPUBuffer,
    fromOffset: number,
    to: GPUBuffer,
    bytes: number,
  ): void {
    const encoder = this.#device.createCommandEncoder({ label: "readback" });
    encoder.copyBufferToBuffer(from, fromOffset, to, 0, bytes);
    this.#device.queue.submit([encoder.finish()]);
  }

  /** Two rounds over all staging buffers, each with numbers of its own. */
  #selfTest(): boolean {
    const source = this.#device.createBuffer({
      label: "readback test",
      size: SMALL_BYTES,
      usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    try {
      for (let round = 0; round < 2 * SMALL_COUNT; round++) {
        const numbers = Uint32Array.from(
          { length: 64 },
          (_, i) => (round + 1) * 1000003 + i,
        );
        this.#device.queue.writeBuffer(source, 0, numbers);
        const index = SMALL_COUNT - 1;
        const data = this.#readAtOnce(source, 0, numbers.byteLength, index);
        const found = new Uint32Array(data);
        if (numbers.some((number, i) => found[i] !== number)) return false;
      }
      return true;
    } catch {
      return false;
    } finally {
      source.destroy();
    }
  }
}
