// The language-model head over many tokens, a chunk at a time: all logits of a
// long window would not fit in memory.

import { ort } from "../../linalg/onnx_runtime.ts";
import type { TokenDivergence } from "../engine.ts";
import { floats, pickFeeds, rowsTensor } from "./feeds.ts";
import {
  divergenceGraph,
  finalNormGraph,
  logitsGraph,
  lossGraph,
} from "./head_graph.ts";
import type { LoadedModel } from "./loaded_model.ts";
import type { SessionPool } from "./session_pool.ts";

/** Rows of one run. */
const CHUNK = 256;

/** Rows of one run that holds the logits of two models, their logarithms and what is made of them. */
const DIVERGENCE_CHUNK = 128;

/** Runs a model's final norm and head. */
export class Head {
  readonly #model: LoadedModel;
  readonly #pool: SessionPool;

  constructor(model: LoadedModel, pool: SessionPool) {
    this.#model = model;
    this.#pool = pool;
  }

  /**
   * Negative log-likelihoods of the next tokens, nats.
   *
   * @param hidden x before the final norm, `[B·T, D]`.
   * @param tokens B sequences of equal length T.
   * @returns B arrays of T - 1.
   */
  async loss(
    hidden: Float32Array,
    tokens: readonly Int32Array[],
  ): Promise<Float32Array[]> {
    const { head, headFeeds, hiddenSize, target } = this.#model;
    const session = await this.#pool.get(
      "loss",
      () => lossGraph(head, target),
    );
    const weights = pickFeeds(session, [headFeeds]);
    const length = tokens[0]!.length;
    // The last row of each sequence predicts nothing that is known; it is cut off below.
    const labels = new BigInt64Array(tokens.length * length);
    for (const [b, sequence] of tokens.entries()) {
      for (let t = 1; t < length; t++) {
        labels[b * length + t - 1] = BigInt(sequence[t]!);
      }
    }
    const all = new Float32Array(labels.length);
    for (let start = 0; start < all.length; start += CHUNK) {
      const own = labels.subarray(start, start + CHUNK);
      const end = start + own.length;
      const rows = hidden.subarray(start * hiddenSize, end * hiddenSize);
      const { logProbability } = await session.run({
        ...weights,
        x: rowsTensor(rows, hiddenSize),
        labels: new ort.Tensor("int64", own, [own.length, 1]),
      });
      all.set(floats(logProbability!).map((value) => -value), start);
    }
    return tokens.map((_, b) => all.slice(b * length, (b + 1) * length - 1));
  }

  /**
   * The final norm alone.
   *
   * @param hidden x before it, `[N, D]`.
   * @returns `[N, D]`.
   */
  async normed(hidden: Float32Array): Promise<Float32Array> {
    const { head, headFeeds, hiddenSize, target } = this.#model;
    const session = await this.#pool.get(
      "final norm",
      () => finalNormGraph(head, target),
    );
    const { normed } = await session.run({
      ...pickFeeds(session, [headFeeds]),
      x: rowsTensor(hidden, hiddenSize),
    });
    return floats(normed!);
  }

  /**
   * Compares each row's prediction with an original's.
   *
   * @param hidden x before the final norm, `[N, D]`.
   * @param original The original's states after it, `[N, D]`.
   * @returns KL(original || model) in nats and 1 where the most likely tokens agree, `[N]` each.
   */
  async divergence(
    hidden: Float32Array,
    original: Float32Array,
  ): Promise<TokenDivergence> {
    const { head, headFeeds, hiddenSize, target } = this.#model;
    const session = await this.#pool.get(
      "divergence",
      () => divergenceGraph(head, target),
    );
    const weights = pickFeeds(session, [headFeeds]);
    const count = hidden.length / hiddenSize;
    const kl = new Float32Array(count);
    const agree = new Uint8Array(count);
    for (let start = 0; start < count; start += DIVERGENCE_CHUNK) {
      const chunk = [
        start * hiddenSize,
        (start + DIVERGENCE_CHUNK) * hiddenSize,
      ] as const;
      const values = await session.run({
        ...weights,
        x: rowsTensor(hidden.subarray(...chunk), hiddenSize),
        original: rowsTensor(original.subarray(...chunk), hiddenSize),
      });
      kl.set(floats(values.kl!), start);
      const tops = values.top!.data as BigInt64Array;
      for (
        const [i, top] of (values.originalTop!.data as BigInt64Array).entries()
      ) {
        agree[start + i] = Number(top === tops[i]);
      }
    }
    return { kl, agree };
  }

  /**
   * Logits, all of them.
   *
   * @param hidden x before the final norm, `[N, D]`.
   * @returns `[N, V]`.
   */
  async logits(hidden: Float32Array): Promise<Float32Array> {
    const { head, headFeeds, hiddenSize, embedTokens, target } = this.#model;
    const session = await this.#pool.get(
      "logits",
      () => logitsGraph(head, target),
    );
    const weights = pickFeeds(session, [headFeeds]);
    const vocabSize = embedTokens.shape[0]!;
    const all = new Float32Array(hidden.length / hiddenSize * vocabSize);
    const step = CHUNK * hiddenSize;
    for (let start = 0; start < hidden.length; start += step) {
      const rows = hidden.subarray(start, start + step);
      const { logits } = await session.run({
        ...weights,
        x: rowsTensor(rows, hiddenSize),
      });
      all.set(floats(logits!), start / hiddenSize * vocabSize);
    }
    return all;
  }
}
