// Decoding: one run of one graph a step, over buffers that grow in place.

import { ort } from "../../linalg/onnx_runtime.ts";
import {
  embed,
  floats,
  pickFeeds,
  rotaryFeeds,
  rowsTensor,
  type Values,
} from "./feeds.ts";
import type { KvCache } from "./kv_cache.ts";
import type { LoadedModel, WholeModel } from "./loaded_model.ts";
import type { SessionPool } from "./session_pool.ts";
import { decodeGraph } from "./stage_graph.ts";

/** Steps of one token a sequence for one batch size. */
export class DecoderRun {
  readonly #model: LoadedModel;
  readonly #whole: WholeModel;
  readonly #session: ort.InferenceSession;
  readonly #weights: Values;
  /** Of each part of the cache: its input, and that input's axes after the tokens. */
  readonly #past: readonly { name: string; axes: readonly number[] }[];

  private constructor(
    model: LoadedModel,
    whole: WholeModel,
    session: ort.InferenceSession,
  ) {
    this.#model = model;
    this.#whole = whole;
    this.#session = session;
    this.#weights = pickFeeds(session, [whole.stage.feeds, model.headFeeds]);
    const inputs = new Map(
      session.inputMetadata.map((input) => [input.name, input]),
    );
    this.#past = whole.cacheParts.map(({ input }) => {
      const found = inputs.get(input);
      const shape = found?.isTensor ? found.shape : [];
      return { name: input, axes: shape.slice(1).map(Number) };
    });
  }

  /** The run for `batch` sequences; its graph is compiled where it is not yet. */
  static async open(
    model: LoadedModel,
    pool: SessionPool,
    batch: number,
  ): Promise<DecoderRun> {
    const { head, decodeTarget } = model;
    const whole = await model.whole();
    const session = await pool.getOnly(
      "decode",
      String(batch),
      () => decodeGraph(whole.stage.layers, head, batch, decodeTarget),
    );
    return new DecoderRun(model, whole, session);
  }

  /**
   * Runs one token a sequence and appends it to the cache.
   *
   * @param cache The cache, with room for one more token.
   * @param next The tokens, `[B]`.
   * @returns Logits, `[B, V]`.
   */
  async step(cache: KvCache, next: Int32Array): Promise<Float32Array> {
    const { rotaries, embedTokens, hiddenSize } = this.#model;
    const { batch, tokens, parts } = cache;
    const feeds: Record<string, ort.Tensor> = {
      ...this.#weights,
      ...rotaryFeeds(this.#whole.stage, rotaries, tokens, tokens + 1),
      x: rowsTensor(embed(embedTokens, [next]), hiddenSize),
    };
    for (const [i, { name, axes }] of this.#past.entries()) {
      const shape = [tokens, ...axes];
      feeds[name] = new ort.Tensor("float32", cache.view(i), shape);
    }
    const values = await this.#session.run(feeds);
    const place = { token: tokens, sequence: 0, sequences: batch };
    for (const [i, { name }] of parts.entries()) {
      cache.store(i, floats(values[name]!), place);
    }
    cache.grow(1);
    return floats(values.logits!);
  }
}
