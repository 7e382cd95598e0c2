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
   * Passes that are run together: all, where layers are read for every run, else each alone.
   *
   * @param passes Sequences of equal length each.
   */
  groups<T>(passes: readonly T[]): readonly (readonly T[])[] {
    return this.#model.kept ? passes.map((pass) => [pass]) : [passes];
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
    const [x] = await this.runAll([tokens], visitor);
    return x!;
  }

  /**
   * Runs every layer over all passes before the next.
   *
   * @param passes B sequences of equal length T each.
   * @param visitor Told of each layer's outputs.
   * @returns x before the final norm of each pass, `[B·T, D]`.
   */
  async runAll(
    passes: readonly (readonly Int32Array[])[],
    visitor: LayerVisitor = NOBODY,
  ): Promise<Float32Array[]> {
    const { target, embedTokens, numLayers } = this.#model;
    const states = passes.map((tokens) => embed(embedTokens, tokens));
    const onDevice = target.device !== "cpu";
    for (let index = 0; index < (onDevice ? 1 : numLayers); index++) {
      const stage = onDevice
        ? (await this.#model.whole()).stage
        : await this.#model.stage(index);
      for (const [i, tokens] of passes.entries()) {
        const length = tokens[0]!.length;
        const values = await this.#runStage(stage, states[i]!, length, visitor);
        states[i] = floats(values.y!);
      }
    }
    return states;
  }

  /**
   * Delivers each layer's attention input, `[B·T, D]`: of every pass before that
   * of the next layer, where layers run alone.
   *
   * @param passes B sequences of equal length T each.
   */
  async inputs(
    passes: readonly (readonly Int32Array[])[],
    deliver: (layer: number, h: ort.Tensor) => Promise<void>,
  ): Promise<void> {
    const { target, embedTokens, hiddenSize, numLayers } = this.#model;
    if (target.device !== "cpu") {
      for (const tokens of passes) {
        const inputs: ort.Tensor[] = [];
        await this.run(tokens, {
          wanted: ["h"],
          visit: (_, value) => inputs.push(value("h")),
        });
        for (const [layer, h] of inputs.entries()) await deliver(layer, h);
      }
      return;
    }
    const states = passes.map((tokens) => embed(embedTokens, tokens));
    for (let index = 0; index < numLayers; index++) {
      const stage = await this.#model.stage(index);
      for (const [i, tokens] of passes.entries()) {
        // Nothing needs the last layer's output.
        if (index === numLayers - 1) {
          const session = await this.#pool.get(
            "input norm",
            () => inputNormGraph(stage.layers[0]!.layer, target),
          );
          const { h } = await session.run({
            ...pickFeeds(session, [stage.feeds]),
            x: rowsTensor(states[i]!, hiddenSize),
          });
          await deliver(index, h!);
          continue;
        }
        const values = await this.#runStage(
          stage,
          states[i]!,
          tokens[0]!.length,
          { wanted: ["h"], visit: () => {} },
        );
        states[i] = floats(values.y!);
        await deliver(index, values.h!);
      }
    }
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
