// One model on a GPU.

import type { MomentsSink } from "../../model/moments.ts";
import { batchLength, longestLength } from "../batch_length.ts";
import type { DecodeResult, MomentsOptions, Session } from "../engine.ts";
import { checkTokenWeights } from "../token_weights.ts";
import type { Gpu } from "./device/gpu.ts";
import { Calibrating } from "./plan/calibrating.ts";
import { Decoding } from "./plan/decoding.ts";
import type { GpuModel } from "./plan/gpu_model.ts";
import { groupRows } from "./plan/row_layout.ts";
import { passRows } from "./plan/pass_limits.ts";
import { Scoring } from "./plan/scoring.ts";

/** A session of the webgpu engine. */
export class WebgpuSession implements Session {
  readonly #gpu: Gpu;
  readonly #maxRows: number;
  readonly #onClose: (session: WebgpuSession) => void;
  #model: GpuModel | undefined;
  #scoring: Scoring | undefined;
  #decoding: Decoding | undefined;
  #calibrating: Calibrating | undefined;

  /**
   * @param gpu The device.
   * @param model The model on it; closed with the session.
   * @param onClose Called once, when the session is closed.
   */
  constructor(
    gpu: Gpu,
    model: GpuModel,
    onClose: (session: WebgpuSession) => void,
  ) {
    this.#gpu = gpu;
    this.#model = model;
    this.#onClose = onClose;
    this.#maxRows = passRows(gpu, model);
  }

  async score(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    const model = this.#open();
    batchLength(tokens, model.vocabSize, "score");
    return await this.#scorer(model).score(tokens);
  }

  async logits(tokens: Int32Array): Promise<Float32Array> {
    const model = this.#open();
    batchLength([tokens], model.vocabSize, "compute logits of");
    return await this.#scorer(model).logits(tokens);
  }

  async prefill(tokens: readonly Int32Array[], reserve = 0): Promise<void> {
    const model = this.#open();
    longestLength(tokens, model.vocabSize, "prefill");
    if (!Number.isInteger(reserve) || reserve < 0) {
      throw new RangeError(
        `Cannot prefill as reserve must be a non-negative integer: current value is ${reserve}`,
      );
    }
    // The old cache goes before the new one comes.
    this.#decoding?.close();
    this.#decoding = undefined;
    const decoding = new Decoding(this.#gpu, model, tokens, reserve);
    try {
      await decoding.prefill(tokens, this.#maxRows);
    } catch (error) {
      decoding.close();
      throw error;
    }
    this.#decoding = decoding;
  }

  async decode(steps: number): Promise<DecodeResult> {
    this.#open();
    if (this.#decoding === undefined) {
      throw new RangeError("Cannot decode as nothing was prefilled");
    }
    const { room } = this.#decoding;
    if (!Number.isInteger(steps) || steps < 0 || steps > room) {
      throw new RangeError(
        `Cannot decode as steps must be in 0..${room}, the room left in the cache: current value is ${steps}`,
      );
    }
    return await this.#decoding.decode(steps);
  }

  async lastLogits(): Promise<readonly Float32Array[]> {
    this.#open();
    return await this.#decoding?.lastLogits() ?? [];
  }

  cache(): { tokens: number; batch: number; bytes: number } {
    return this.#decoding?.held() ?? { tokens: 0, batch: 0, bytes: 0 };
  }

  async moments(
    tokens: readonly Int32Array[],
    sink: MomentsSink,
    { tokenWeights }: MomentsOptions = {},
  ): Promise<void> {
    const model = this.#open();
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

  close(): Promise<void> {
    const model = this.#model;
    this.#scoring?.close();
    this.#decoding?.close();
    this.#calibrating?.close();
    this.#calibrating = undefined;
    this.#scoring = undefined;
    this.#decoding = undefined;
    this.#model = undefined;
    model?.arena.destroy();
    if (model !== undefined) this.#onClose(this);
    return Promise.resolve();
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
