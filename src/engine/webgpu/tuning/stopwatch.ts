// Times passes, and tells by a copy whether anything else keeps the device busy: on
// a shared one, what is timed then is that, not the kernel.

import { recordCopies } from "../device/copy_bandwidth.ts";
import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { timePass } from "../device/timing.ts";

/** Of a buffer of the copy: more than caches hold. */
const COPIED_BYTES = 128 * 2 ** 20;
const SOFTWARE_BYTES = 2 ** 20;

/** A pass takes about as long on the device's clock, and on the host's. */
const PASS_SECONDS = 1.2e-3;
const WALL_PASS_SECONDS = 0.02;

/** Slower than the fastest copy by more than this is busy. */
const CALM = 1.08;

const FIRST_COPIES = 10;

/** A clock for the passes of one device. */
export class Stopwatch {
  readonly #gpu: Gpu;
  readonly #arena: Arena;
  /** Takes about as long as what is timed: what comes and goes hits both alike. */
  #copies: readonly Dispatch[] = [];
  #fastest = Infinity;
  #isOnDevice = false;
  #empty = Infinity;

  private constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#arena = gpu.arena();
  }

  /**
   * Opens a stopwatch.
   *
   * @param gpu The device; 256 MiB of it are taken.
   * @throws {GpuError} If the device is lost or has no memory.
   */
  static async open(gpu: Gpu): Promise<Stopwatch> {
    const watch = new Stopwatch(gpu);
    try {
      await watch.#begin();
    } catch (error) {
      watch.close();
      throw error;
    }
    return watch;
  }

  async #begin(): Promise<void> {
    const { features, facts } = this.#gpu;
    const bytes = facts.software ? SOFTWARE_BYTES : COPIED_BYTES;
    const both = recordCopies(this.#arena, bytes);
    // Memory is zeroed and the pipeline built with the first use.
    this.#gpu.run(both);
    await this.#gpu.settle();
    for (let i = 0; i < FIRST_COPIES; i++) {
      this.#empty = Math.min(this.#empty, await this.#onWall([]));
    }
    // A clock that stands still measures nothing.
    this.#isOnDevice = features.timestamps && await this.#onDevice(both) > 0;
    const once = await this.seconds(both);
    this.#copies = Array.from({ length: this.repeats(once) }, () => both)
      .flat();
    for (let i = 0; i < FIRST_COPIES && !facts.software; i++) {
      await this.isCalm();
    }
  }

  /**
   * How often work is repeated in a pass.
   *
   * @param seconds Of the work.
   */
  repeats(seconds: number): number {
    const pass = this.#isOnDevice ? PASS_SECONDS : WALL_PASS_SECONDS;
    return this.#gpu.facts.software
      ? 1
      : Math.ceil(pass / Math.max(seconds, 1e-6));
  }

  /**
   * Times a pass.
   *
   * @param dispatches All of it.
   * @returns Seconds on the device's clock, or on the host's less an empty submit.
   */
  async seconds(dispatches: readonly Dispatch[]): Promise<number> {
    if (this.#isOnDevice) return await this.#onDevice(dispatches);
    return Math.max(await this.#onWall(dispatches) - this.#empty, 1e-7);
  }

  /** Whether a copy is as fast as ever now; an adapter that computes on the CPU does not tell. */
  async isCalm(): Promise<boolean> {
    if (this.#gpu.facts.software) return true;
    const seconds = await this.seconds(this.#copies);
    this.#fastest = Math.min(this.#fastest, seconds);
    return seconds <= CALM * this.#fastest;
  }

  /** Frees the copy's buffers. */
  close(): void {
    this.#arena.destroy();
  }

  async #onDevice(dispatches: readonly Dispatch[]): Promise<number> {
    const gpu = this.#gpu;
    return await timePass(
      gpu.device,
      dispatches,
      (buffer, bytes) => gpu.read(buffer, 0, bytes),
    );
  }

  async #onWall(dispatches: readonly Dispatch[]): Promise<number> {
    const start = performance.now();
    // run() leaves nothing out but this: an empty submit costs its wait.
    if (dispatches.length > 0) this.#gpu.run(dispatches);
    else this.#gpu.device.queue.submit([]);
    await this.#gpu.settle();
    return (performance.now() - start) / 1000;
  }
}
