// The engine interface: the least that scoring, timing and calibration need.
// Engines run in a child process (experiment/); this file holds types only, the
// registry is open.ts, so that asking for one engine never loads another.

import type { DecoderModel } from "../model/decoder.ts";
import type { MomentsSink } from "../model/moments.ts";

/** The engines that open.ts knows. */
export type EngineName = "reference" | "onnx";

/** How to run. */
export interface EngineOptions {
  /** @default "f32" */
  readonly dtype?: "f32" | "f16";
  /** onnx: "cpu" or "webgpu" (onnxruntime's own WebGPU provider). @default "cpu" */
  readonly device?: "cpu" | "webgpu";
  /** CPU threads. @default the number of cores */
  readonly threads?: number;
}

/** What a record says of the engine that made it. */
export interface EngineDescription {
  readonly name: EngineName;
  readonly provider: string;
  readonly dtype: string;
  /** The GPU adapter, where there is one. */
  readonly adapter?: string;
  readonly version: string;
}

/** The time of a decode run, step by step. */
export interface DecodeResult {
  /** Greedy tokens, one array of `steps` a sequence. */
  readonly tokens: readonly Int32Array[];
  /** Seconds of each step. */
  readonly stepSeconds: Float64Array;
}

/** One model loaded in one engine. */
export interface Session {
  /**
   * Next-token negative log-likelihoods in nats.
   *
   * @param tokens B sequences of equal length T.
   * @returns B arrays of T-1: entry t is -log p(tokens[t+1] | tokens[0..t]).
   */
  score(tokens: readonly Int32Array[]): Promise<Float32Array[]>;
  /** Logits of one short sequence, [T, V]; for tests, since it stores T·V numbers. */
  logits(tokens: Int32Array): Promise<Float32Array>;
  /**
   * Runs B prompts of equal length T through the model and fills a new KV cache;
   * the greedy next token of each is kept for decode().
   *
   * @param tokens B sequences of equal length.
   * @param reserve Tokens of room to reserve in the cache beyond T. @default 0
   */
  prefill(tokens: readonly Int32Array[], reserve?: number): Promise<void>;
  /**
   * Decodes greedily from the cache, one token a step and sequence. A step
   * feeds the greedy token so far and returns it: the first is the argmax after
   * the prompt, and the argmax of lastLogits() is the one not yet returned.
   *
   * @throws {RangeError} If nothing was prefilled or the cache has no room.
   */
  decode(steps: number): Promise<DecodeResult>;
  /** Logits of the last position of each sequence after the latest prefill() or decode(), [V] each. */
  lastLogits(): readonly Float32Array[];
  /** Tokens a sequence in the cache, its batch size, and the bytes allocated for it, less the share of the reserve that prefill() was asked for and decode() has not used: liveBytes(). */
  cache(): {
    readonly tokens: number;
    readonly batch: number;
    readonly bytes: number;
  };
  /**
   * Runs sequences (of any lengths) and delivers the second moments of each layer's attention input.
   */
  moments(
    tokens: readonly Int32Array[],
    sink: MomentsSink,
  ): Promise<void>;
  close(): Promise<void>;
}

/** An engine, ready to open models. */
export interface Engine {
  describe(): EngineDescription;
  /**
   * @throws {RangeError} If the engine cannot run this model with these options.
   */
  open(model: DecoderModel): Promise<Session>;
  close(): Promise<void>;
}
