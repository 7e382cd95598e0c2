// One model on a GPU.

import type { MomentsSink } from "../../model/moments.ts";
import { batchLength, longestLength } from "../batch_length.ts";
import type {
  CacheFill,
  DecodeResult,
  KernelTime,
  MomentsOptions,
  Session,
  TokenDivergence,
} from "../engine.ts";
import { checkHiddenStates } from "../hidden_states.ts";
import { checkFill } from "../seeded_cache.ts";
import { checkTokenWeights } from "../token_weights.ts";
import { GpuError } from "./device/faults.ts";
import type { Gpu } from "./device/gpu.ts";
import { Calibrating } from "./plan/calibrating.ts";
import { Decoding } from "./plan/decoding.ts";
import type { GpuModel } from "./plan/gpu_model.ts";
import { groupRows } from "./plan/row_layout.ts";
import { passRows } from "./plan/pass_limits.ts";
import { Scoring } from "./plan/scoring.ts";
import { mostSequences, stepScratchBytes } from "./plan/step_memory.ts";
import type { Turns } from "./turns.ts";

/** What a session is made of. */
export interface SessionParts {
  readonly gpu: Gpu;
  /** Closed with the session. */
  readonly model: GpuModel;
  /** Shared by all that use the device. */
  readonly turns: Turns;
  /** Called once, when the session is closed. */
  onClose(session: WebgpuSession): void;
}

/** A session of the webgpu engine; calls that overlap run in their order. */
export class WebgpuSession implements Session {
  readonly #gpu: Gpu;
  readonly #maxRows: number;
  readonly #turns: Turns;
  readonly #onClose: (session: WebgpuSession) => void;
  #model: GpuModel | undefined;
  #scoring: Scoring | undefined;
  #decoding: Decoding | undefined;
  #calibrating: Calibrating | undefined;

  constructor({ gpu, model, turns, onClose }: SessionParts) {
    this.#gpu = gpu;
    this.#model = model;
    this.#turns = turns;
    this.#onClose = onClose;
    this.#maxRows = passRows(gpu, model);
  }

  async score(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    return await this.#turn((model) => {
      batchLength(tokens, model.vocabSize, "score");
      return this.#scorer(model).score(tokens);
    });
  }

  async hidden(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    return await this.#turn((model) => {
      batchLength(tokens, model.vocabSize, "compute hidden states of");
      return this.#scorer(model).hidden(tokens);
    });
  }

  async divergence(
    tokens: readonly Int32Array[],
    original: readonly Float32Array[],
  ): Promise<TokenDivergence[]> {
    return await this.#turn((model) => {
      batchLength(tokens, model.vocabSize, "compare predictions of");
      checkHiddenStates(tokens, original, model.hiddenSize);
      return this.#scorer(model).divergence(tokens, original);
    });
  }

  async logits(tokens: Int32Array): Promise<Float32Array> {
    return await this.#turn((model) => {
      batchLength([tokens], model.vocabSize, "compute logits of");
      return this.#scorer(model).logits(tokens);
    });
  }

  async prefill(tokens: readonly Int32Array[], reserve = 0): Promise<void> {
    await this.#turn((model) => this.#prefill(model, tokens, reserve));
  }

  async #prefill(
    model: GpuModel,
    tokens: readonly Int32Array[],
    reserve: number,
  ): Promise<void> {
    longestLength(tokens, model.vocabSize, "prefill");
    checkCount("prefill", "reserve", reserve, 0);
    const lengths = tokens.map(({ length }) => length);
    await this.#replaceCache(
      model,
      lengths,
      reserve,
      (decoding) => decoding.prefill(tokens, this.#maxRows),
    );
  }

  async fill(fill: CacheFill): Promise<void> {
    checkFill(fill);
    const { batch, tokens, reserve = 0, seed } = fill;
    const lengths = new Array<number>(batch).fill(tokens);
    await this.#turn((model) =>
      this.#replaceCache(
        model,
        lengths,
        reserve,
        (decoding) => decoding.fill(seed),
      )
    );
  }

  async #replaceCache(
    model: GpuModel,
    lengths: readonly number[],
    reserve: number,
    fill: (decoding: Decoding) => Promise<void>,
  ): Promise<void> {
    // The old cache goes before the new one comes: what is destroyed is freed when
    // the device is next waited for.
    if (this.#decoding !== undefined) {
      this.#decoding.close();
      this.#decoding = undefined;
      await this.#gpu.settle();
    }
    const decoding = new Decoding(this.#gpu, model, lengths, reserve);
    try {
      await fill(decoding);
    } catch (error) {
      decoding.close();
      throw error;
    }
    this.#decoding = decoding;
  }

  scratchBytes(batch: number, capacity: number): number {
    checkCount("count scratch", "batch", batch, 1);
    checkCount("count scratch", "capacity", capacity, 1);
    return stepScratchBytes(this.#gpu, this.#open(), batch, capacity);
  }

  mostSequences(capacity: number): number {
    checkCount("count sequences", "capacity", capacity, 1);
    return mostSequences(this.#gpu, this.#open(), capacity);
  }

  async decode(steps: number): Promise<DecodeResult> {
    return await this.#turn(() => {
      if (this.#decoding === undefined) {
        throw new RangeError("Cannot decode as nothing was prefilled");
      }
      const { room } = this.#decoding;
      if (!Number.isInteger(steps) || steps < 0 || steps > room) {
        throw new RangeError(
          `Cannot decode as steps must be in 0..${room}, the room left in the cache: current value is ${steps}`,
        );
      }
      return this.#decoding.decode(steps);
    });
  }

  async profileStep(): Promise<readonly KernelTime[]> {
    return await this.#turn(() => {
      if (this.#decoding === undefined) {
        throw new RangeError("Cannot profile a step as nothing was prefilled");
      }
      return this.#decoding.profileStep();
    });
  }

  /**
   * Times the next steps on the device's own clock, with nothing of the host in
   * between; the cache and the tokens stay.
   *
   * @param count Steps, for which the cache has room.
   * @returns Seconds of one.
   * @throws {RangeError} If nothing was prefilled, the cache has no room or the device no timestamps.
   */
  async timeSteps(count: number): Promise<number> {
    checkCount("time steps", "count", count, 1);
    return await this.#turn(() => {
      if (this.#decoding === undefined) {
        throw new RangeError("Cannot time steps as nothing was prefilled");
      }
      return this.#decoding.timeSteps(count);
    });
  }

  async lastLogits(): Promise<readonly Float32Array[]> {
    return await this.#turn(() => this.#decoding?.lastLogits() ?? []);
  }

  cache(): { tokens: number; batch: number; bytes: number } {
    return this.#decoding?.held() ?? { tokens: 0, batch: 0, bytes: 0 };
  }

  async moments(
    tokens: readonly Int32Array[],
    sink: MomentsSink,
    options: MomentsOptions = {},
  ): Promise<void> {
    await this.#turn((model) => this.#moments(model, tokens, sink, options));
  }

  async #moments(
    model: GpuModel,
    tokens: readonly Int32Array[],
    sink: MomentsSink,
    { tokenWeights }: MomentsOptions,
  ): Promise<void> {
    if (tokens.length === 0) return;
    longestLength(tokens, model.vocabSize, "compute moments of");
    if (tokenWeights !== undefined) checkTokenWeights(tokens, tokenWeights);
    const calibrating = this.#calibrating ??= new Calibrating(
      this.#gpu,
      model,
    );
    // A sequence is whole in its pass: sums of attention weights need all of it.
    const lengths = tokens.map(({ length }) => length);
    const most = Math.max(this.#maxRows, ...lengths);
    for (const { first, spans } of groupRows(lengths, most)) {
      const range = [first, first + spans.length] as const;
      await calibrating.run({
        sequences: tokens.slice(...range),
        ...(tokenWeights === undefined
          ? {}
          : { weights: joined(tokenWeights.slice(...range)) }),
      }, sink);
    }
  }

  /** Waits for the calls before it. */
  async close(): Promise<void> {
    await this.#turns.take(() => {
      const model = this.#model;
      this.#forgetPlans();
      this.#decoding?.close();
      this.#decoding = undefined;
      this.#model = undefined;
      model?.arena.destroy();
      if (model !== undefined) this.#onClose(this);
    });
  }

  async #turn<T>(body: (model: GpuModel) => T | Promise<T>): Promise<T> {
    return await this.#turns.take(async () => {
      const model = this.#open();
      try {
        return await body(model);
      } catch (error) {
        // Buffers of a plan may be what is wrong: it is recorded anew.
        if (error instanceof GpuError) this.#forgetPlans();
        throw error;
      }
    });
  }

  #forgetPlans(): void {
    this.#scoring?.close();
    this.#calibrating?.close();
    this.#calibrating = undefined;
    this.#scoring = undefined;
    this.#decoding?.forgetPlan();
    this.#model?.forgetTables();
  }

  #scorer(model: GpuModel): Scoring {
    return this.#scoring ??= new Scoring(this.#gpu, model, this.#maxRows);
  }

  #open(): GpuModel {
    if (this.#model === undefined) {
      throw new TypeError("Cannot use a session as it is closed");
    }
    return this.#model;
  }
}

function checkCount(
  action: string,
  name: string,
  value: number,
  least: number,
): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  const allowed = least === 0 ? "non-negative" : "positive";
  throw new RangeError(
    `Cannot ${action} as ${name} must be a ${allowed} integer: current value is ${value}`,
  );
}

function joined(arrays: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(
    arrays.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}
