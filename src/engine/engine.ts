// The engine interface: the least that scoring, timing and calibration need.
// Engines run in a child process (experiment/); this file holds types only, the
// registry is open.ts, so that asking for one engine never loads another.

import type { DecoderModel } from "../model/decoder.ts";
import type { MomentsSink } from "../model/moments.ts";

/** The engines that open.ts knows. */
export type EngineName = "reference" | "onnx" | "webgpu";

/** How to run. */
export interface EngineOptions {
  /** @default "f32" */
  readonly dtype?: "f32" | "f16";
  /** onnx: "cpu" or "webgpu" (onnxruntime's own WebGPU provider). The webgpu engine has no other device. @default "cpu" */
  readonly device?: "cpu" | "webgpu";
  /** webgpu: Deno's own WebGPU or Dawn. @default "deno" */
  readonly provider?: "deno" | "dawn";
  /** webgpu: element type of the KV cache. @default dtype */
  readonly cacheDtype?: "f32" | "f16";
  /** CPU threads. @default the number of cores */
  readonly threads?: number;
}

/** What a record says of the engine that made it. */
export interface EngineDescription {
  readonly name: EngineName;
  readonly provider: string;
  readonly dtype: string;
  /** Element type of the KV cache, where it can differ from dtype. */
  readonly cacheDtype?: string;
  /** The GPU adapter, where there is one. */
  readonly adapter?: string;
  /** Of the adapter: a rasterizer on the CPU is "software", and its speed is nobody's. */
  readonly adapterKind?: "gpu" | "software";
  /** Tables of tuned kernel shapes in use, each with the start of its digest; absent where the defaults are. */
  readonly tuning?: string;
  readonly version: string;
}

/** The time of a decode run, step by step. */
export interface DecodeResult {
  /** Greedy tokens, one array of `steps` a sequence. */
  readonly tokens: readonly Int32Array[];
  /** Seconds of each step; where several are submitted together, their mean. */
  readonly stepSeconds: Float64Array;
  /** Times that were really taken: `steps`, or fewer where several steps share one. */
  readonly samples: number;
}

/** What fill() puts into a cache. */
export interface CacheFill {
  /** Sequences. */
  readonly batch: number;
  /** Tokens that each has in the cache. */
  readonly tokens: number;
  /** Tokens of room beyond. @default 0 */
  readonly reserve?: number;
  /** Of the cached numbers and the tokens fed next. */
  readonly seed: number;
}

/** One kernel's share of a decode step. */
export interface KernelTime {
  /** As in the engine's table of kernels, with what distinguishes its uses: "gemv qkvProj". */
  readonly name: string;
  /** Its dispatches in the step. */
  readonly dispatches: number;
  /** On the device's clock, all its dispatches together. */
  readonly seconds: number;
  /** Bytes that must move at least. */
  readonly bytes: number;
  /** Floating-point operations, a multiply-add being two. */
  readonly flops: number;
}

/** Two models' predictions of one sequence, compared token by token. */
export interface TokenDivergence {
  /** KL(original || model) of each prediction over the whole vocabulary, nats, [T-1]. */
  readonly kl: Float32Array;
  /** 1 where the most likely token is the original's, 0 where it is not, [T-1]. */
  readonly agree: Uint8Array;
}

/** What moments() may be told. */
export interface MomentsOptions {
  /** w_t of each token, one array a sequence. @default 1 for all */
  readonly tokenWeights?: readonly Float32Array[];
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
  /**
   * Final hidden states after the last norm: what the head turns into logits.
   *
   * @param tokens B sequences of equal length T.
   * @returns B arrays, [T, D] each.
   */
  hidden(tokens: readonly Int32Array[]): Promise<Float32Array[]>;
  /**
   * Compares this model's predictions with those of an original that has the
   * same head, whose hidden states stand for its logits; [T, V] never exists.
   *
   * @param tokens B sequences of equal length T.
   * @param original The original's hidden() of the same sequences, [T, D] each.
   * @returns B comparisons of T-1 predictions.
   * @throws {RangeError} If there is not one [T, D] for each sequence.
   */
  divergence(
    tokens: readonly Int32Array[],
    original: readonly Float32Array[],
  ): Promise<TokenDivergence[]>;
  /** Logits of one short sequence, [T, V]; for tests, since it stores T·V numbers. */
  logits(tokens: Int32Array): Promise<Float32Array>;
  /**
   * Runs B prompts through the model and fills a new KV cache; the greedy next
   * token of each is kept for decode().
   *
   * @param tokens B sequences; their lengths may differ where the engine is "reference" or "webgpu".
   * @param reserve Tokens of room to reserve in the cache beyond the longest. @default 0
   * @throws {RangeError} If the lengths differ and the engine is "onnx".
   */
  prefill(tokens: readonly Int32Array[], reserve?: number): Promise<void>;
  /**
   * As prefill() of prompts of equal length, but the cache is filled with seeded
   * numbers: for the speed of decoding at contexts whose prefill would take longer
   * than all that is measured. What is decoded then means nothing.
   *
   * @param fill How much.
   */
  fill?(fill: CacheFill): Promise<void>;
  /**
   * Times each kernel of the next decode step, which is then taken back. Their sum
   * is not the step's time: each is timed on its own.
   *
   * @throws {RangeError} If nothing is in the cache, or the device has no clock.
   */
  profileStep?(): Promise<readonly KernelTime[]>;
  /** Bytes of activations and other scratch that decoding takes at a batch size and capacity. */
  scratchBytes?(batch: number, capacity: number): number;
  /** The largest batch at a capacity whose buffers the device allows, whatever its memory. */
  mostSequences?(capacity: number): number;
  /**
   * Decodes greedily from the cache, one token a step and sequence. A step
   * feeds the greedy token so far and returns it: the first is the argmax after
   * the prompt, and the argmax of lastLogits() is the one not yet returned.
   *
   * @throws {RangeError} If nothing was prefilled or the cache has no room.
   */
  decode(steps: number): Promise<DecodeResult>;
  /** Logits of the last position of each sequence after the latest prefill() or decode(), [V] each. */
  lastLogits(): Promise<readonly Float32Array[]>;
  /**
   * Tokens of the longest sequence in the cache, its batch size, and the bytes
   * allocated for it, less the share of the reserve that prefill() was asked
   * for and decode() has not used: liveBytes().
   *
   * With equal lengths that is batch times tokens times the theory's bytes of a
   * token. With unequal ones, what an engine allocates for padding counts: the
   * webgpu engine holds [B, capacity, width] and so reports batch times the
   * longest, the reference engine allocates each sequence its own and reports
   * the sum over sequences of the tokens they hold.
   */
  cache(): {
    readonly tokens: number;
    readonly batch: number;
    readonly bytes: number;
  };
  /**
   * Runs sequences (of any lengths) and delivers the second moments of each layer's attention input.
   *
   * @param tokens The sequences.
   * @param sink Takes the moments; where it has attention(), that too is computed.
   * @param options Weights of tokens in the Gram matrices.
   * @throws {RangeError} If the engine is "onnx" and weights or attention are asked for.
   */
  moments(
    tokens: readonly Int32Array[],
    sink: MomentsSink,
    options?: MomentsOptions,
  ): Promise<void>;
  /**
   * As moments() of each batch in turn, but each layer over all batches before the
   * next layer, where the engine can: then one layer's weights and sums need be in
   * memory, beside the states of all tokens.
   *
   * @param batches Sequences, as moments() takes them.
   * @param sink Takes the moments; the order within a layer is that of the batches.
   */
  momentsByLayer?(
    batches: readonly (readonly Int32Array[])[],
    sink: MomentsSink,
  ): Promise<void>;

  close(): Promise<void>;
}

/** An engine, ready to open models. */
export interface Engine {
  describe(): EngineDescription;
  /** Bytes a second that a copy on the device moves, read and written ones together; measured when first asked for. */
  copyBandwidth?(): Promise<number>;
  /**
   * @throws {RangeError} If the engine cannot run this model with these options.
   */
  open(model: DecoderModel): Promise<Session>;
  close(): Promise<void>;
}
