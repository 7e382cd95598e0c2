// One model in onnxruntime.

import { ort, type RuntimeOptions } from "../../linalg/onnx_runtime.ts";
import type { MomentsSink } from "../../model/moments.ts";
import { batchLength } from "../batch_length.ts";
import type {
  DecodeResult,
  MomentsOptions,
  Session,
  TokenDivergence,
} from "../engine.ts";
import { checkHiddenStates } from "../hidden_states.ts";
import { DecoderRun } from "./decoder_run.ts";
import { floats } from "./feeds.ts";
import { ForwardPass } from "./forward_pass.ts";
import { Head } from "./head.ts";
import { liveBytes } from "../live_bytes.ts";
import { KvCache } from "./kv_cache.ts";
import type { LoadedModel } from "./loaded_model.ts";
import { gramGraph } from "./moments_graph.ts";
import { SessionPool } from "./session_pool.ts";

/** Tokens of one forward pass where sequences are short: larger products are not faster, only larger. */
const PASS_TOKENS = 2048;

/** What an open session runs. */
interface Parts {
  readonly model: LoadedModel;
  readonly layers: ForwardPass;
  readonly head: Head;
}

/** A session of the onnx engine. */
export class OnnxSession implements Session {
  readonly #pool: SessionPool;
  #parts: Parts | undefined;
  #cache: KvCache | undefined;
  /** Tokens a sequence that prefill() was asked room for. */
  #asked = 0;
  #lastLogits: Float32Array[] = [];

  /**
   * @param model The model, read for the same device.
   * @param options Where it runs.
   */
  constructor(model: LoadedModel, options: RuntimeOptions) {
    this.#pool = new SessionPool(options);
    this.#parts = {
      model,
      layers: new ForwardPass(model, this.#pool),
      head: new Head(model, this.#pool),
    };
  }

  async score(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    const { layers, head } = this.#open();
    this.#check(tokens, "score");
    const result: Float32Array[] = [];
    for (const group of layers.groups(passes(tokens))) {
      for (const [i, states] of (await layers.runAll(group)).entries()) {
        result.push(...await head.loss(states, group[i]!));
      }
    }
    return result;
  }

  async hidden(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    const { layers, head } = this.#open();
    this.#check(tokens, "compute hidden states of");
    const result: Float32Array[] = [];
    for (const group of layers.groups(passes(tokens))) {
      for (const [i, x] of (await layers.runAll(group)).entries()) {
        const rows = rowsOf(await head.normed(x), group[i]!.length);
        // Copies: a view would keep the whole pass.
        result.push(...rows.map((own) => own.slice()));
      }
    }
    return result;
  }

  async divergence(
    tokens: readonly Int32Array[],
    original: readonly Float32Array[],
  ): Promise<TokenDivergence[]> {
    const { model, layers, head } = this.#open();
    const length = this.#check(tokens, "compare predictions of");
    checkHiddenStates(tokens, original, model.hiddenSize);
    const result: TokenDivergence[] = [];
    for (const group of layers.groups(passes(tokens))) {
      for (const [i, states] of (await layers.runAll(group)).entries()) {
        for (const own of rowsOf(states, group[i]!.length)) {
          const { kl, agree } = await head.divergence(
            own,
            original[result.length]!,
          );
          // Nobody knows what comes after the last token.
          result.push({
            kl: kl.subarray(0, length - 1),
            agree: agree.subarray(0, length - 1),
          });
        }
      }
    }
    return result;
  }

  async logits(tokens: Int32Array): Promise<Float32Array> {
    const { layers, head } = this.#open();
    this.#check([tokens], "compute logits of");
    return await head.logits(await layers.run([tokens]));
  }

  async prefill(tokens: readonly Int32Array[], reserve = 0): Promise<void> {
    const { model, layers, head } = this.#open();
    const length = this.#check(tokens, "prefill");
    if (!Number.isInteger(reserve) || reserve < 0) {
      throw new RangeError(
        `Cannot prefill as reserve must be a non-negative integer: current value is ${reserve}`,
      );
    }
    // The old cache goes before the new one comes.
    this.#cache = undefined;
    this.#lastLogits = [];
    this.#asked = length + reserve;
    const cache = new KvCache(
      (await model.whole()).cacheParts,
      tokens.length,
      length + reserve,
    );
    const width = model.hiddenSize;
    const last = new Float32Array(tokens.length * width);
    let sequence = 0;
    for (const pass of passes(tokens)) {
      const place = { token: 0, sequence, sequences: pass.length };
      const hidden = await layers.run(pass, {
        wanted: ["first", "second"],
        visit(layer, value) {
          for (const [i, part] of cache.parts.entries()) {
            if (part.layer !== layer) continue;
            cache.store(i, floats(value(part.part)), place);
          }
        },
      });
      for (let b = 0; b < pass.length; b++) {
        const end = (b + 1) * length * width;
        last.set(hidden.subarray(end - width, end), (sequence + b) * width);
      }
      sequence += pass.length;
    }
    this.#lastLogits = rowsOf(await head.logits(last), tokens.length);
    cache.grow(length);
    this.#cache = cache;
  }

  async decode(steps: number): Promise<DecodeResult> {
    const { model } = this.#open();
    const cache = this.#cache;
    if (cache === undefined) {
      throw new RangeError("Cannot decode as nothing was prefilled");
    }
    const room = cache.capacity - cache.tokens;
    if (!Number.isInteger(steps) || steps < 0 || steps > room) {
      throw new RangeError(
        `Cannot decode as steps must be in 0..${room}, the room left in the cache: current value is ${steps}`,
      );
    }
    const run = await DecoderRun.open(model, this.#pool, cache.batch);
    const tokens = this.#lastLogits.map(() => new Int32Array(steps));
    const stepSeconds = new Float64Array(steps);
    for (let step = 0; step < steps; step++) {
      const start = performance.now();
      const next = Int32Array.from(this.#lastLogits, argmax);
      const logits = await run.step(cache, next);
      this.#lastLogits = rowsOf(logits, cache.batch);
      stepSeconds[step] = (performance.now() - start) / 1000;
      for (const [b, token] of next.entries()) tokens[b]![step] = token;
    }
    return { tokens, stepSeconds, samples: steps };
  }

  // deno-lint-ignore require-await
  async lastLogits(): Promise<readonly Float32Array[]> {
    this.#open();
    return this.#lastLogits;
  }

  cache(): { tokens: number; batch: number; bytes: number } {
    const { tokens = 0, batch = 0, buffers = [] } = this.#cache ?? {};
    return { tokens, batch, bytes: liveBytes(buffers, tokens, this.#asked) };
  }

  async moments(
    tokens: readonly Int32Array[],
    sink: MomentsSink,
    { tokenWeights }: MomentsOptions = {},
  ): Promise<void> {
    this.#open();
    if (tokenWeights !== undefined) {
      throw new RangeError(
        "Cannot compute moments as the onnx engine weighs all tokens alike: tokenWeights must be left out",
      );
    }
    await this.momentsByLayer([tokens], sink);
  }

  async momentsByLayer(
    batches: readonly (readonly Int32Array[])[],
    sink: MomentsSink,
  ): Promise<void> {
    const { model, layers } = this.#open();
    if (sink.attention !== undefined) {
      throw new RangeError(
        "Cannot compute moments as the onnx engine does not give attention weights: the sink must have no attention()",
      );
    }
    const alike = batches.flatMap((tokens) => [
      ...Map.groupBy(tokens, (sequence) => sequence.length).values(),
    ]);
    for (const batch of alike) this.#check(batch, "compute moments of");
    await layers.inputs(alike.flatMap(passes), async (layer, h) => {
      const rows = h.dims[0]!;
      const session = await this.#pool.get(
        "gram",
        () => gramGraph(model.hiddenSize),
        { device: "cpu" },
      );
      const data = new Float32Array(rows).fill(1);
      const ones = new ort.Tensor("float32", data, [rows, 1]);
      const { gram } = await session.run({ h, ones });
      await sink.add(layer, gram!.data as Float64Array, floats(h));
    });
  }

  async close(): Promise<void> {
    this.#parts = undefined;
    this.#cache = undefined;
    this.#lastLogits = [];
    await this.#pool.close();
  }

  #open(): Parts {
    if (this.#parts === undefined) {
      throw new TypeError("Cannot use a session as it is closed");
    }
    return this.#parts;
  }

  #check(tokens: readonly Int32Array[], action: string): number {
    const vocabSize = this.#open().model.embedTokens.shape[0]!;
    return batchLength(tokens, vocabSize, action);
  }
}

/** Sequences of equal length in groups of about PASS_TOKENS tokens. */
function passes(tokens: readonly Int32Array[]): Int32Array[][] {
  const size = Math.max(1, Math.floor(PASS_TOKENS / tokens[0]!.length));
  const groups: Int32Array[][] = [];
  for (let start = 0; start < tokens.length; start += size) {
    groups.push(tokens.slice(start, start + size));
  }
  return groups;
}

/** A matrix of `count` rows as its rows. */
function rowsOf(data: Float32Array, count: number): Float32Array[] {
  const width = data.length / count;
  return Array.from(
    { length: count },
    (_, i) => data.subarray(i * width, (i + 1) * width),
  );
}

/** Index of the largest element, the first of equals. */
function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (values[i]! > values[best]!) best = i;
  }
  return best;
}
