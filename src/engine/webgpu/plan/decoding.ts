// A batch with its KV cache: filled by prefill, or with seeded numbers, then
// decoded from.

import type { DecodeResult, KernelTime } from "../../engine.ts";
import { cachePart, fedTokens } from "../../seeded_cache.ts";
import type { Arena, Dispatch, Gpu, Work } from "../device/gpu.ts";
import { NO_TOKEN } from "../kernels/argmax.ts";
import { fill } from "../kernels/fill.ts";
import type { GpuModel } from "./gpu_model.ts";
import { allocateCache, type KvCache } from "./kv_cache.ts";
import { type PassPlan, passWork, recordPass } from "./pass_plan.ts";
import {
  concatenated,
  type Group,
  groupRows,
  layOut,
  uploadLayout,
} from "./row_layout.ts";
import { allocateRows } from "./scratch.ts";
import { allocateDecodeBuffers, STEPS_PER_READ } from "./step_memory.ts";
import { type DecodeState, recordHead, recordStep } from "./step_plan.ts";
import { profileStep, timeSteps } from "./step_profile.ts";

/** Steps of one submit: few, so that the device starts while the rest is encoded. */
const STEPS_PER_SUBMIT = 4;

/** Steps of the first submits: the device waits for the first to be encoded. */
const FIRST_SUBMITS = [1, 1, 2];

/** Sequences that are decoded together. */
export class Decoding {
  readonly #gpu: Gpu;
  readonly #model: GpuModel;
  readonly #arena: Arena;
  readonly #cache: KvCache;
  readonly #state: DecodeState;
  /** Tokens fed, u32 [STEPS_PER_READ, B]. */
  readonly #fed: GPUBuffer;
  readonly #lengths: number[];
  #step: readonly Dispatch[] | undefined;

  /**
   * @param gpu The device.
   * @param model The model.
   * @param lengths Tokens of each sequence that the cache will be filled with.
   * @param reserve Room beyond the longest.
   */
  constructor(
    gpu: Gpu,
    model: GpuModel,
    lengths: readonly number[],
    reserve: number,
  ) {
    const batch = lengths.length;
    this.#gpu = gpu;
    this.#model = model;
    this.#lengths = [...lengths];
    this.#arena = gpu.arena();
    try {
      this.#cache = allocateCache(
        this.#arena,
        model,
        batch,
        Math.max(...this.#lengths) + reserve,
      );
      const buffers = allocateDecodeBuffers(this.#arena, model, batch);
      this.#state = buffers.state;
      this.#fed = buffers.fed;
    } catch (error) {
      this.#arena.destroy();
      throw error;
    }
  }

  /** Steps that the longest sequence has room for. */
  get room(): number {
    return this.#cache.capacity - Math.max(...this.#lengths);
  }

  /**
   * Fills the cache.
   *
   * @param tokens The prompts.
   * @param maxRows Most rows of a pass.
   */
  async prefill(
    tokens: readonly Int32Array[],
    maxRows: number,
  ): Promise<void> {
    const { batch } = this.#cache;
    const model = this.#model;
    const arena = this.#gpu.arena();
    try {
      // The last row of each sequence, [B, D].
      const last = allocateRows(arena, "last rows", batch, model.hiddenSize);
      const y = allocateRows(arena, "last rows", batch, model.hiddenSize);
      for (const group of groupRows(this.#lengths, maxRows)) {
        await this.#prefillGroup(tokens, group, last.buffer, last.stride);
      }
      this.#gpu.write(
        this.#state.lengths,
        0,
        Uint32Array.from(this.#lengths),
      );
      this.#gpu.run(recordHead(arena, model, {
        x: last,
        y,
        rows: batch,
        state: this.#state,
      }));
      await this.#gpu.settle();
    } finally {
      arena.destroy();
    }
  }

  async #prefillGroup(
    tokens: readonly Int32Array[],
    { first, spans }: Group,
    last: GPUBuffer,
    lastStride: number,
  ): Promise<void> {
    const arena = this.#gpu.arena();
    try {
      const layout = uploadLayout(arena, layOut(spans));
      const pass = recordPass(arena, this.#model, layout, {
        cache: this.#cache,
        firstSequence: first,
      });
      const parts = spans.map(({ past, length }, i) =>
        tokens[first + i]!.subarray(past, past + length)
      );
      let row = 0;
      const ends: { sequence: number; row: number }[] = [];
      for (const [i, { past, length }] of spans.entries()) {
        const sequence = first + i;
        row += length;
        if (past + length === this.#lengths[sequence]) {
          ends.push({ sequence, row: row - 1 });
        }
      }
      this.#gpu.write(pass.tokens, 0, concatenated(parts));
      this.#gpu.run([
        ...passWork(pass),
        ...ends.map(({ sequence, row }) =>
          copyRow(pass, row, last, sequence * lastStride)
        ),
      ]);
      // The next pass's buffers come after this one's are free.
      await this.#gpu.settle();
    } finally {
      arena.destroy();
    }
  }

  /**
   * Fills the cache, its room included, with seeded numbers of variance 1; the
   * tokens fed next are seeded, too, and the latest logits are zero.
   *
   * @param seed u32
   */
  async fill(seed: number): Promise<void> {
    const { layers, batch, capacity } = this.#cache;
    const rows = batch * capacity;
    const arena = this.#gpu.arena();
    try {
      this.#gpu.run(
        layers.flatMap(({ first, second }, layer) =>
          Object.entries({ first, second }).flatMap(([part, out]) =>
            out === undefined ? [] : fill(arena, {
              out,
              rows,
              columns: out.stride,
              seeded: cachePart(seed, layer, part as "first" | "second"),
            })
          )
        ),
      );
      const { vocabSize } = this.#model;
      const tokens = fedTokens(seed, batch, vocabSize);
      this.#gpu.write(this.#state.tokens, 0, tokens);
      this.#gpu.write(
        this.#state.lengths,
        0,
        Uint32Array.from(this.#lengths),
      );
      await this.#gpu.settle();
    } finally {
      arena.destroy();
    }
  }

  /**
   * Decodes greedily.
   *
   * @param steps At most `room`.
   */
  async decode(steps: number): Promise<DecodeResult> {
    const { batch } = this.#cache;
    const tokens = this.#lengths.map(() => new Int32Array(steps));
    const stepSeconds = new Float64Array(steps);
    let samples = 0;
    if (steps === 0) return { tokens, stepSeconds, samples };
    this.#step ??= recordStep(
      this.#arena,
      this.#model,
      this.#cache,
      this.#state,
    );
    for (let done = 0; done < steps; done += STEPS_PER_READ) {
      const count = Math.min(STEPS_PER_READ, steps - done);
      const start = performance.now();
      for (let first = 0, submit = 0; first < count; submit++) {
        const most = FIRST_SUBMITS[submit] ?? STEPS_PER_SUBMIT;
        const last = Math.min(count, first + most);
        const work: Work[] = [];
        for (let i = first; i < last; i++) {
          work.push(keepFed(this.#state, this.#fed, i, batch), ...this.#step);
        }
        this.#gpu.run(work);
        first = last;
      }
      const fed = new Uint32Array(
        await this.#gpu.read(this.#fed, 0, count * batch * 4),
      );
      const seconds = (performance.now() - start) / 1000 / count;
      for (let b = 0; b < batch; b++) this.#lengths[b]! += count;
      for (let i = 0; i < count; i++) {
        stepSeconds[done + i] = seconds;
        for (let b = 0; b < batch; b++) {
          const token = fed[i * batch + b]!;
          if (token === NO_TOKEN) {
            throw new RangeError(
              `Cannot decode step ${
                done + i
              } of sequence ${b} as its logits must be numbers: one is NaN`,
            );
          }
          tokens[b]![done + i] = token;
        }
      }
      samples++;
    }
    return { tokens, stepSeconds, samples };
  }

  /**
   * Times the next step by kernel; what is in the cache stays.
   *
   * @returns Kernels in the order of their first dispatch.
   * @throws {RangeError} If the device has no clock or the cache no room.
   */
  async profileStep(): Promise<KernelTime[]> {
    return await this.#recorded(
      1,
      (step) => profileStep(this.#gpu, step, this.#state),
    );
  }

  /**
   * Times the next steps on the device's clock; what is in the cache stays.
   *
   * @param count Steps.
   * @returns Seconds of one.
   * @throws {RangeError} If the device has no clock or the cache no room.
   */
  async timeSteps(count: number): Promise<number> {
    return await this.#recorded(
      count,
      (step) => timeSteps(this.#gpu, step, this.#state, count),
    );
  }

  async #recorded<T>(
    count: number,
    run: (step: readonly Dispatch[]) => Promise<T>,
  ): Promise<T> {
    if (this.room < count) {
      throw new RangeError(
        count === 1
          ? "Cannot profile a step as the cache has no room for it"
          : `Cannot time ${count} steps as the cache has room for ${this.room}`,
      );
    }
    const { batch } = this.#cache;
    const keys = this.#lengths.reduce((sum, length) => sum + length, batch);
    const arena = this.#gpu.arena();
    try {
      // A step that knows its keys knows its bytes.
      return await run(
        recordStep(arena, this.#model, this.#cache, this.#state, keys),
      );
    } finally {
      arena.destroy();
    }
  }

  /** Logits after the latest token, [V] each. */
  async lastLogits(): Promise<Float32Array[]> {
    const { vocabSize } = this.#model;
    const { buffer, stride } = this.#state.logits;
    const { batch } = this.#cache;
    const data = new Float32Array(
      await this.#gpu.read(buffer, 0, batch * stride * 4),
    );
    return Array.from(
      { length: batch },
      (_, b) => data.slice(b * stride, b * stride + vocabSize),
    );
  }

  /** Tokens of the longest sequence, and the allocated bytes less the unused share of the room. */
  held(): { tokens: number; batch: number; bytes: number } {
    const { batch, capacity, bytes } = this.#cache;
    const tokens = Math.max(...this.#lengths);
    return { tokens, batch, bytes: bytes * tokens / capacity };
  }

  /** Records the step anew when it is next run: after a fault its buffers may not be there. */
  forgetPlan(): void {
    this.#step = undefined;
  }

  /** Releases the cache. */
  close(): void {
    this.#arena.destroy();
  }
}

/** Keeps the tokens that step `index` is fed. */
function keepFed(
  { tokens }: DecodeState,
  fed: GPUBuffer,
  index: number,
  batch: number,
): Work {
  const bytes = batch * 4;
  return {
    copy: {
      from: tokens,
      fromOffset: 0,
      to: fed,
      toOffset: index * bytes,
      bytes,
    },
  };
}

function copyRow(
  pass: PassPlan,
  row: number,
  to: GPUBuffer,
  toElement: number,
): Work {
  const { buffer, stride } = pass.x;
  return {
    copy: {
      from: buffer,
      fromOffset: row * stride * 4,
      to,
      toOffset: toElement * 4,
      bytes: stride * 4,
    },
  };
}
