// All layers over whole sequences. On the CPU each layer is a run of its own, so
// that layers of one shape share a graph; on a GPU, where a graph owns its
// weights and every run moves its inputs, the whole model is one run.

import { ort } from "../../linalg/onnx_runtime.ts";
import {
  embed,
  floats,
  pickFeeds,
  rotaryFeeds,
  rowsTensor,
  type Values,
} from "./feeds.ts";
import { causalMask } from "./graph_scope.ts";
import type { LoadedModel, Stage } from "./loaded_model.ts";
import { inputNormGraph } from "./moments_graph.ts";
import type { SessionPool } from "./session_pool.ts";
import { type LayerOutput, prefillGraph } from "./stage_graph.ts";

/** Who is told of each layer's outputs. */
export interface LayerVisitor {
  readonly wanted: readonly LayerOutput[];
  visit(layer: number, value: (name: LayerOutput) => ort.Tensor): void;
}

/** For those who only want x. */
const NOBODY: LayerVisitor = { wanted: [], visit: () => {} };

/** Runs a model's layers. */
export class ForwardPass {
  readonly #model: LoadedModel;
  readonly #pool: SessionPool;
  #mask: { tokens: number; tensor: ort.Tensor } | undefined;

  constructor(model: LoadedModel, pool: SessionPool) {
    this.#model = model;
    this.#pool = pool;
  }

  /**
   * Runs every layer.
   *
   * @param tokens B sequences of equal length T.
   * @param visitor Told of each layer's outputs.
   * @returns x before the final norm, `[B·T, D]`.
   */
  async run(
    tokens: readonly Int32Array[],
    visitor: LayerVisitor = NOBODY,
  ): Promise<Float32Array> {
    const { single, whole, target, embedTokens } = this.#model;
    let x = embed(embedTokens, tokens);
    for (const stage of target.device === "cpu" ? single : [whole]) {
      const values = await this.#runStage(stage, x, tokens[0]!.length, visitor);
      x = floats(values.y!);
    }
    return x;
  }

  /**
   * Delivers each layer's attention input in turn, `[B·T, D]`.
   *
   * @param tokens B sequences of equal length T.
   */
  async inputs(
    tokens: readonly Int32Array[],
    deliver: (layer: number, h: ort.Tensor) => Promise<void>,
  ): Promise<void> {
    const { single, target, embedTokens, hiddenSize } = this.#model;
    if (target.device !== "cpu") {
      const inputs: ort.Tensor[] = [];
      await this.run(tokens, {
        wanted: ["h"],
        visit: (_, value) => inputs.push(value("h")),
      });
      for (const [layer, h] of inputs.entries()) await deliver(layer, h);
      return;
    }
    let x = embed(embedTokens, tokens);
    for (const stage of single.slice(0, -1)) {
      const values = await this.#runStage(
        stage,
        x,
        tokens[0]!.length,
        { wanted: ["h"], visit: () => {} },
      );
      await deliver(stage.first, values.h!);
      x = floats(values.y!);
    }
    // Nothing needs the last layer's output.
    const last = single.at(-1);
    if (last === undefined) return;
    const session = await this.#pool.get(
      "input norm",
      () => inputNormGraph(last.layers[0]!.layer, target),
    );
    const { h } = await session.run({
      ...pickFeeds(session, [last.feeds]),
      x: rowsTensor(x, hiddenSize),
    });
    await deliver(last.first, h!);
  }

  async #runStage(
    stage: Stage,
    x: Float32Array,
    length: number,
    visitor: LayerVisitor,
  ): Promise<Values> {
    const { target, rotaries, hiddenSize } = this.#model;
    const { wanted } = visitor;
    const key = `${length} ${wanted} ${stage.key}`;
    const build = () => prefillGraph(stage.layers, length, target, wanted);
    const session = target.weights === "fed"
      ? await this.#pool.get(key, build)
      : await this.#pool.getOnly("layers", key, build);
    const feeds = {
      ...pickFeeds(session, [stage.feeds]),
      ...rotaryFeeds(stage, rotaries, 0, length),
      x: rowsTensor(x, hiddenSize),
      mask: this.#causalMask(length),
    };
    const values = await session.run(feeds);
    for (const [i, { prefix }] of stage.layers.entries()) {
      visitor.visit(stage.first + i, (name) => values[`${prefix}${name}`]!);
    }
    return values;
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
