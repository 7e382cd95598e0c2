// A decoder in the form that graphs and their feeds need. Its layers are read
// once and kept, or, of a model too large for that, read whenever they run.

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

/** Models larger than this in f32 are run a layer at a time, each read when its turn comes. */
const KEEP_BELOW_BYTES = 4e9;

/** All layers at once, as decoding needs them. */
export interface WholeModel {
  readonly stage: Stage;
  readonly cacheParts: readonly CachePart[];
}

/** How a model is read. */
export interface LoadOptions {
  /** Whether its layers stay in memory. @default true below 4 GB in f32 */
  readonly keep?: boolean;
}

/** Everything a session runs on. */
export interface LoadedModel {
  /** D */
  readonly hiddenSize: number;
  /** [V, D] */
  readonly embedTokens: Tensor;
  readonly numLayers: number;
  /** Whether layers stay in memory; if not, each stage() reads its layer. */
  readonly kept: boolean;
  /** One layer alone. */
  stage(index: number): Promise<Stage>;
  /** All layers; they stay in memory from then on. */
  whole(): Promise<WholeModel>;
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
 * @param options Whether layers stay in memory.
 * @throws {ShapeError} If a weight's shape contradicts its layer's sizes.
 */
export async function loadModel(
  model: DecoderModel,
  device: Target["device"],
  options: LoadOptions = {},
): Promise<LoadedModel> {
  const { numHiddenLayers: numLayers, rmsNormEps, hiddenSize } = model.config;
  const rotaries = new RotaryTables();
  const read = async (index: number) =>
    prepareLayer(await model.layer(index), rmsNormEps);
  const weights = new Map([
    ["finalNorm", await model.finalNorm()],
    ["lmHead", await model.lmHead()],
  ]);
  const first = numLayers > 0 ? [(await read(0)).weights] : [];
  const bytes = bytesOf([weights]) + numLayers * bytesOf(first);
  const kept = options.keep ?? (device !== "cpu" || bytes < KEEP_BELOW_BYTES);

  let all: Promise<readonly PreparedLayer[]> | undefined;
  const layers = () => all ??= readAll(numLayers, read);
  if (kept) await layers();
  let whole: Promise<WholeModel> | undefined;
  const headFeeds = new Map<string, ort.Tensor>();
  addFeeds(headFeeds, "", weights);
  const stages = new Map<number, Stage>();
  return {
    hiddenSize,
    embedTokens: await model.embedTokens(),
    numLayers,
    kept,
    async stage(index) {
      const known = stages.get(index);
      if (known !== undefined) return known;
      const layer = kept ? (await layers())[index]! : await read(index);
      const stage = stageOf([layer], index, rotaries);
      if (kept) stages.set(index, stage);
      return stage;
    },
    whole: () => whole ??= layers().then((all) => wholeOf(all, rotaries)),
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

async function readAll(
  count: number,
  read: (index: number) => Promise<PreparedLayer>,
): Promise<readonly PreparedLayer[]> {
  const layers: PreparedLayer[] = [];
  for (let index = 0; index < count; index++) layers.push(await read(index));
  return layers;
}

/** Consecutive layers as one stage; the names of several begin with the layer's index. */
function stageOf(
  layers: readonly PreparedLayer[],
  first: number,
  rotaries: RotaryTables,
): Stage {
  const slots = new Map<number, number>();
  const feeds = new Map<string, ort.Tensor>();
  const placed = layers.map((layer, i) => {
    const id = rotaries.add(layer.rotary);
    const slot = slots.get(id) ?? slots.size;
    slots.set(id, slot);
    const prefix = layers.length > 1 ? `${first + i}.` : "";
    addFeeds(feeds, prefix, layer.weights);
    return { layer, prefix, slot };
  });
  return {
    layers: placed,
    first,
    key: placed.map(({ layer, slot }) => `${slot} ${layer.key}`).join("\n"),
    rotaries: [...slots.keys()],
    feeds,
  };
}

function wholeOf(
  layers: readonly PreparedLayer[],
  rotaries: RotaryTables,
): WholeModel {
  const stage = stageOf(layers, 0, rotaries);
  return {
    stage,
    cacheParts: stage.layers.flatMap(({ layer, prefix }, index) => {
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
