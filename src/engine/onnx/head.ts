// The language-model head over many tokens, a chunk at a time: all logits of a
// long window would not fit in memory.

import { ort } from "../../linalg/onnx_runtime.ts";
import { floats, pickFeeds, rowsTensor } from "./feeds.ts";
import { logitsGraph, lossGraph } from "./head_graph.ts";
import type { LoadedModel } from "./loaded_model.ts";
import type { SessionPool } from "./session_pool.ts";

/** Rows of one run. */
const CHUNK = 256;

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
