// One model in onnxruntime. On the CPU each layer is a run of its own, so that
// layers of one shape share a graph; on a GPU, where a graph owns its weights
// and every run moves its inputs, the whole model is one run.

import { ort, type RuntimeOptions } from "../../linalg/onnx_runtime.ts";
import type { MomentsSink } from "../../model/moments.ts";
import type { DecodeResult, Session } from "../engine.ts";
import { causalMask } from "./graph_scope.ts";
import { HEAD_ROWS, logitsGraph, lossGraph } from "./head_graph.ts";
import { KvCache } from "./kv_cache.ts";
import type { LoadedModel, Stage } from "./loaded_model.ts";
import { gramGraph, inputNormGraph } from "./moments_graph.ts";
import { SessionPool } from "./session_pool.ts";
import { decodeGraph, prefillGraph } from "./stage_graph.ts";

/** Tokens of one forward pass where sequences are short: larger products are not faster, only larger. */
const PASS_TOKENS = 2048;

/** Values by name. */
type Values = Readonly<Record<string, ort.Tensor>>;

/** A session of the onnx engine. */
export class OnnxSession implements Session {
  #model: LoadedModel | undefined;
  readonly #pool: SessionPool;
  #mask: { tokens: number; tensor: ort.Tensor } | undefined;
  #cache: KvCache | undefined;
  #lastLogits: Float32Array[] = [];
  /** Of the only decode graph that is kept, since it may own a copy of the weights. */
  #decodeKey = "";

  /**
   * @param model The model, read for the same device.
   * @param options Where it runs.
   */
  constructor(model: LoadedModel, options: RuntimeOptions) {
    this.#model = model;
    this.#pool = new SessionPool(options);
  }

  async score(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    const length = this.#check(tokens, "score");
    const result: Float32Array[] = [];
    for (const pass of passes(tokens)) {
      const hidden = await this.#forward(pass);
      const nll = await this.#loss(hidden, pass);
      for (let b = 0; b < pass.length; b++) {
        result.push(nll.slice(b * length, (b + 1) * length - 1));
      }
    }
    return result;
  }

  async logits(tokens: Int32Array): Promise<Float32Array> {
    this.#check([tokens], "compute logits of");
    return await this.#logits(await this.#forward([tokens]));
  }

  async prefill(tokens: readonly Int32Array[], reserve = 0): Promise<void> {
    const model = this.#open();
    const length = this.#check(tokens, "prefill");
    if (!Number.isInteger(reserve) || reserve < 0) {
      throw new RangeError(
        `Cannot prefill as reserve must be a non-negative integer: current value is ${reserve}`,
      );
    }
    this.#cache = undefined;
    const cache = new KvCache(
      model.cacheParts,
      tokens.length,
      length + reserve,
    );
    const partIndex = new Map(cache.parts.map(({ name }, i) => [name, i]));
    const { hiddenSize } = model;
    const last = new Float32Array(tokens.length * hiddenSize);
    let sequence = 0;
    for (const pass of passes(tokens)) {
      const place = { token: 0, sequence, sequences: pass.length };
      const hidden = await this.#forward(pass, (layer, values) => {
        for (const part of ["first", "second"]) {
          const index = partIndex.get(`${layer}.${part}`);
          if (index === undefined) continue;
          cache.store(index, floats(values(part)), place);
        }
      });
      for (let b = 0; b < pass.length; b++) {
        const end = (b + 1) * length * hiddenSize;
        last.set(
          hidden.subarray(end - hiddenSize, end),
          (sequence + b) * hiddenSize,
        );
      }
      sequence += pass.length;
    }
    this.#lastLogits = rowsOf(await this.#logits(last), tokens.length);
    cache.grow(length);
    this.#cache = cache;
  }

  async decode(steps: number): Promise<DecodeResult> {
    const { whole, headFeeds, head, decodeTarget } = this.#open();
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
    const key = `decode ${cache.batch}`;
    if (this.#decodeKey !== key) await this.#pool.release(this.#decodeKey);
    this.#decodeKey = key;
    const session = await this.#pool.get(
      key,
      () => decodeGraph(whole.layers, head, cache.batch, decodeTarget),
    );
    const pastShapes = new Map(
      session.inputMetadata.map((input) => [
        input.name,
        input.isTensor ? input.shape.slice(1).map(Number) : [],
      ]),
    );
    const weights = pick(session, [whole.feeds, headFeeds]);
    const tokens = this.#lastLogits.map(() => new Int32Array(steps));
    const stepSeconds = new Float64Array(steps);
    for (let step = 0; step < steps; step++) {
      const start = performance.now();
      const next = Int32Array.from(this.#lastLogits, argmax);
      for (const [b, token] of next.entries()) tokens[b]![step] = token;
      await this.#decodeStep(session, weights, pastShapes, next);
      stepSeconds[step] = (performance.now() - start) / 1000;
    }
    return { tokens, stepSeconds };
  }

  lastLogits(): readonly Float32Array[] {
    this.#open();
    return this.#lastLogits;
  }

  cache(): { tokens: number; batch: number; bytes: number } {
    const cache = this.#cache;
    return {
      tokens: cache?.tokens ?? 0,
      batch: cache?.batch ?? 0,
      bytes: cache?.bytes ?? 0,
    };
  }

  async moments(
    tokens: readonly Int32Array[],
    sink: MomentsSink,
  ): Promise<void> {
    const model = this.#open();
    for (const batch of byLength(tokens)) {
      this.#check(batch, "compute moments of");
      for (const pass of passes(batch)) {
        const rows = pass.length * pass[0]!.length;
        const gram = await this.#pool.get(
          "gram",
          () => gramGraph(model.hiddenSize),
          { device: "cpu" },
        );
        const ones = new ort.Tensor(
          "float32",
          new Float32Array(rows).fill(1),
          [rows, 1],
        );
        const add = async (layer: number, h: ort.Tensor) => {
          const result = await gram.run({ h, ones });
          sink.add(layer, result.gram!.data as Float64Array, floats(h));
        };
        await this.#forwardInputs(pass, add);
      }
    }
  }

  async close(): Promise<void> {
    this.#model = undefined;
    this.#cache = undefined;
    this.#lastLogits = [];
    await this.#pool.close();
  }

  #open(): LoadedModel {
    if (this.#model === undefined) {
      throw new TypeError("Cannot use a session as it is closed");
    }
    return this.#model;
  }

  /** Checks a batch of equal lengths and returns T. */
  #check(tokens: readonly Int32Array[], action: string): number {
    const [vocabulary] = this.#open().embedTokens.shape;
    const length = tokens[0]?.length ?? 0;
    if (length === 0) {
      throw new RangeError(
        `Cannot ${action} tokens as there must be at least one`,
      );
    }
    for (const [b, sequence] of tokens.entries()) {
      if (sequence.length !== length) {
        throw new RangeError(
          `Cannot ${action} tokens as sequence ${b} must have ${length} tokens as the first has: current value is ${sequence.length}`,
        );
      }
      const wrong = sequence.find((id) => !(id >= 0 && id < vocabulary!));
      if (wrong !== undefined) {
        throw new RangeError(
          `Cannot ${action} tokens as ids must be < ${vocabulary}: current value is ${wrong}`,
        );
      }
    }
    return length;
  }

  /** Embeddings, `[N, D]`. */
  #embed(tokens: readonly Int32Array[]): Float32Array {
    const { embedTokens, hiddenSize } = this.#open();
    const length = tokens[0]!.length;
    const x = new Float32Array(tokens.length * length * hiddenSize);
    let row = 0;
    for (const sequence of tokens) {
      for (const id of sequence) {
        const start = id * hiddenSize;
        x.set(
          embedTokens.data.subarray(start, start + hiddenSize),
          hiddenSize * row++,
        );
      }
    }
    return x;
  }

  /** All layers over sequences of equal length; `visit` sees each layer's outputs. Returns x before the final norm, `[B·T, D]`. */
  async #forward(
    tokens: readonly Int32Array[],
    visit?: (layer: number, values: (name: string) => ort.Tensor) => void,
  ): Promise<Float32Array> {
    const { single, whole, target } = this.#open();
    let x = this.#embed(tokens);
    for (const stage of target.device === "cpu" ? single : [whole]) {
      const values = await this.#runStage(stage, x, tokens[0]!.length, visit);
      x = floats(values.y!);
    }
    return x;
  }

  async #runStage(
    stage: Stage,
    x: Float32Array,
    length: number,
    visit?: (layer: number, values: (name: string) => ort.Tensor) => void,
  ): Promise<Values> {
    const { target } = this.#open();
    const session = await this.#pool.get(
      `prefill ${length} ${stage.key}`,
      () => prefillGraph(stage.layers, length, target),
    );
    const feeds = {
      ...pick(session, [stage.feeds]),
      ...this.#rotaryFeeds(stage, 0, length),
      x: this.#rows(x),
      mask: this.#causalMask(length),
    };
    const values = visit === undefined
      ? await session.run(feeds, ["y"])
      : await session.run(feeds);
    for (const [i, { prefix }] of stage.layers.entries()) {
      visit?.(stage.first + i, (name) => values[`${prefix}${name}`]!);
    }
    return values;
  }

  /** Delivers each layer's attention input in turn. */
  async #forwardInputs(
    tokens: readonly Int32Array[],
    add: (layer: number, h: ort.Tensor) => Promise<void>,
  ): Promise<void> {
    const { single, target } = this.#open();
    if (target.device !== "cpu") {
      const inputs: ort.Tensor[] = [];
      await this.#forward(tokens, (_, values) => inputs.push(values("h")));
      for (const [layer, h] of inputs.entries()) await add(layer, h);
      return;
    }
    let x = this.#embed(tokens);
    for (const stage of single.slice(0, -1)) {
      let h: ort.Tensor | undefined;
      const values = await this.#runStage(
        stage,
        x,
        tokens[0]!.length,
        (_, value) => h = value("h"),
      );
      await add(stage.first, h!);
      x = floats(values.y!);
    }
    const last = single.at(-1);
    if (last === undefined) return;
    const session = await this.#pool.get(
      "input norm",
      () => inputNormGraph(last.layers[0]!.layer, target),
    );
    const { h } = await session.run({
      ...pick(session, [last.feeds]),
      x: this.#rows(x),
    });
    await add(last.first, h!);
  }

  async #decodeStep(
    session: ort.InferenceSession,
    weights: Values,
    pastShapes: ReadonlyMap<string, readonly number[]>,
    next: Int32Array,
  ): Promise<void> {
    const { whole } = this.#open();
    const cache = this.#cache!;
    const { batch, tokens } = cache;
    const feeds: Record<string, ort.Tensor> = {
      ...weights,
      ...this.#rotaryFeeds(whole, tokens, tokens + 1),
      x: this.#rows(this.#embed([next])),
    };
    for (const [i, { name }] of cache.parts.entries()) {
      const input = name.replace(/(?=first$|second$)/, "past.");
      const shape = [tokens, ...pastShapes.get(input)!];
      feeds[input] = new ort.Tensor("float32", cache.view(i), shape);
    }
    const values = await session.run(feeds);
    const place = { token: tokens, sequence: 0, sequences: batch };
    for (const [i, { name }] of cache.parts.entries()) {
      cache.store(i, floats(values[name]!), place);
    }
    cache.grow(1);
    this.#lastLogits = rowsOf(floats(values.logits!), batch);
  }

  /** -log p(next token), one a row; the last row of each sequence means nothing. */
  async #loss(
    hidden: Float32Array,
    tokens: readonly Int32Array[],
  ): Promise<Float32Array> {
    const { head, headFeeds, hiddenSize, target } = this.#open();
    const session = await this.#pool.get(
      "loss",
      () => lossGraph(head, target),
    );
    const labels = BigInt64Array.from(
      tokens.flatMap((sequence) => [...sequence.subarray(1), 0]),
      BigInt,
    );
    const nll = new Float32Array(labels.length);
    for (let start = 0; start < nll.length; start += HEAD_ROWS) {
      const own = labels.subarray(start, start + HEAD_ROWS);
      const rows = hidden.subarray(
        start * hiddenSize,
        (start + own.length) * hiddenSize,
      );
      const { logProbability } = await session.run({
        ...pick(session, [headFeeds]),
        x: this.#rows(rows),
        labels: new ort.Tensor("int64", own, [own.length, 1]),
      });
      nll.set(floats(logProbability!).map((value) => -value), start);
    }
    return nll;
  }

  /** `[N, D]` to `[N, V]`. */
  async #logits(hidden: Float32Array): Promise<Float32Array> {
    const { head, headFeeds, hiddenSize, embedTokens, target } = this.#open();
    const session = await this.#pool.get(
      "logits",
      () => logitsGraph(head, target),
    );
    const vocabulary = embedTokens.shape[0]!;
    const all = new Float32Array(hidden.length / hiddenSize * vocabulary);
    const step = HEAD_ROWS * hiddenSize;
    for (let start = 0; start < hidden.length; start += step) {
      const { logits } = await session.run({
        ...pick(session, [headFeeds]),
        x: this.#rows(hidden.subarray(start, start + step)),
      });
      all.set(floats(logits!), start / hiddenSize * vocabulary);
    }
    return all;
  }

  #rows(x: Float32Array): ort.Tensor {
    const { hiddenSize } = this.#open();
    return new ort.Tensor("float32", x, [x.length / hiddenSize, hiddenSize]);
  }

  #rotaryFeeds(stage: Stage, start: number, end: number): Values {
    const { rotaries } = this.#open();
    const feeds: Record<string, ort.Tensor> = {};
    for (const [slot, id] of stage.rotaries.entries()) {
      const { cos, sin } = rotaries.rows(id, start, end);
      // A layer without rotary dims has no tables in its graph.
      if (cos.size === 0) continue;
      feeds[`cos.${slot}`] = cos;
      feeds[`sin.${slot}`] = sin;
    }
    return feeds;
  }

  #causalMask(tokens: number): ort.Tensor {
    if (this.#mask?.tokens !== tokens) {
      const { data, shape } = causalMask(tokens);
      const tensor = new ort.Tensor("float32", data, shape);
      this.#mask = { tokens, tensor };
    }
    return this.#mask.tensor;
  }
}

/** The feeds that a session asks for. */
function pick(
  session: ort.InferenceSession,
  feeds: readonly ReadonlyMap<string, ort.Tensor>[],
): Values {
  const picked: Record<string, ort.Tensor> = {};
  for (const name of session.inputNames) {
    for (const some of feeds) {
      const value = some.get(name);
      if (value !== undefined) picked[name] = value;
    }
  }
  return picked;
}

function floats(value: ort.Tensor): Float32Array {
  return value.data as Float32Array;
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

/** Sequences of any lengths in batches of equal length. */
function byLength(tokens: readonly Int32Array[]): Int32Array[][] {
  const groups = Map.groupBy(tokens, (sequence) => sequence.length);
  return [...groups.values()];
}

/** A matrix of `count` rows as its rows. */
function rowsOf(data: Float32Array, count: number): Float32Array[] {
  const width = data.length / count;
  return Array.from(
    { length: count },
    (_, i) => data.slice(i * width, (i + 1) * width),
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
