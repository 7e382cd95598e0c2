// A decoder read into memory in the form that graphs and their feeds need.

import type { Tensor } from "../../base/tensor.ts";
import { ort } from "../../linalg/onnx_runtime.ts";
import type { DecoderModel } from "../../model/decoder.ts";
import { cachedWidths } from "./attention.ts";
import type { Target } from "./graph_scope.ts";
import type { HeadWeights } from "./head_graph.ts";
import type { CachePart } from "./kv_cache.ts";
import { type PreparedLayer, prepareLayer } from "./layer_weights.ts";
import { RotaryTables } from "./rotary_tables.ts";
import type { StageLayer } from "./stage_graph.ts";

/** Weights up to this are copied for decoding on the CPU; a larger model's would need too much memory. */
const OWNED_BYTES = 8e9;

/** Consecutive layers that one graph runs. */
export interface Stage {
  readonly layers: readonly StageLayer[];
  /** Index in the model of its first layer. */
  readonly first: number;
  /** Equal for stages that the same graph can run. */
  readonly key: string;
  /** Number of the tables in RotaryTables, by slot. */
  readonly rotaries: readonly number[];
  /** Its weights by their names in the graph. */
  readonly feeds: ReadonlyMap<string, ort.Tensor>;
}

/** Everything a session runs on. */
export interface LoadedModel {
  /** D */
  readonly hiddenSize: number;
  /** [V, D] */
  readonly embedTokens: Tensor;
  /** Each layer alone. */
  readonly single: readonly Stage[];
  /** All layers in one. */
  readonly whole: Stage;
  readonly cacheParts: readonly CachePart[];
  readonly head: HeadWeights;
  readonly headFeeds: ReadonlyMap<string, ort.Tensor>;
  readonly rotaries: RotaryTables;
  /** For graphs of many tokens. */
  readonly target: Target;
  /** For graphs of one token a sequence. */
  readonly decodeTarget: Target;
}

/**
 * Reads a model.
 *
 * @param model The model.
 * @param device Where it runs.
 * @throws {ShapeError} If a weight's shape contradicts its layer's sizes.
 */
export async function loadModel(
  model: DecoderModel,
  device: Target["device"],
): Promise<LoadedModel> {
  const { numHiddenLayers, rmsNormEps, hiddenSize } = model.config;
  const rotaries = new RotaryTables();
  const layers: PreparedLayer[] = [];
  for (let i = 0; i < numHiddenLayers; i++) {
    layers.push(prepareLayer(await model.layer(i), rmsNormEps));
  }
  const stage = (indices: readonly number[], prefixed: boolean): Stage => {
    const slots = new Map<number, number>();
    const feeds = new Map<string, ort.Tensor>();
    const placed = indices.map((index) => {
      const layer = layers[index]!;
      const id = rotaries.add(layer.rotary);
      const slot = slots.get(id) ?? slots.size;
      slots.set(id, slot);
      const prefix = prefixed ? `${index}.` : "";
      addFeeds(feeds, prefix, layer.weights);
      return { layer, prefix, slot };
    });
    return {
      layers: placed,
      first: indices[0] ?? 0,
      key: placed.map(({ layer, slot }) => `${slot} ${layer.key}`).join("\n"),
      rotaries: [...slots.keys()],
      feeds,
    };
  };
  const indices = layers.map((_, i) => i);
  const whole = stage(indices, true);
  const weights = new Map([
    ["finalNorm", await model.finalNorm()],
    ["lmHead", await model.lmHead()],
  ]);
  const bytes = bytesOf([weights, ...layers.map((layer) => layer.weights)]);
  const headFeeds = new Map<string, ort.Tensor>();
  addFeeds(headFeeds, "", weights);
  return {
    hiddenSize,
    embedTokens: await model.embedTokens(),
    single: indices.map((i) => stage([i], false)),
    whole,
    cacheParts: whole.layers.flatMap(({ layer, prefix }, index) => {
      const [first, second] = cachedWidths(layer.attention);
      const part = (part: "first" | "second", width: number): CachePart => ({
        layer: index,
        part,
        name: `${prefix}${part}`,
        input: `${prefix}past.${part}`,
        width,
      });
      const both = [part("first", first), part("second", second)];
      return both.filter(({ width }) => width > 0);
    }),
    head: { weights, eps: rmsNormEps },
    headFeeds,
    rotaries,
    target: { device, weights: device === "cpu" ? "fed" : "owned" },
    decodeTarget: {
      device,
      weights: device !== "cpu" || bytes <= OWNED_BYTES ? "owned" : "fed",
    },
  };
}

/** Bytes of all weights; those called "...Rows" are views of others. */
function bytesOf(maps: readonly ReadonlyMap<string, Tensor>[]): number {
  let bytes = 0;
  for (const weights of maps) {
    for (const [name, { data }] of weights) {
      if (!name.endsWith("Rows")) bytes += data.byteLength;
    }
  }
  return bytes;
}

function addFeeds(
  feeds: Map<string, ort.Tensor>,
  prefix: string,
  weights: ReadonlyMap<string, Tensor>,
): void {
  for (const [name, { data, shape }] of weights) {
    feeds.set(`${prefix}${name}`, new ort.Tensor("float32", data, shape));
  }
}
