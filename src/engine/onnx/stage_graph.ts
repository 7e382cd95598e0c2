// Graphs of one or several layers in a row: over whole sequences (with what the
// cache keeps of them), and over one new token with a cache.

import { GraphBuilder } from "../../linalg/onnx_graph.ts";
import {
  attentionDecode,
  attentionPrefill,
  type AttentionResult,
  cachedWidths,
} from "./attention.ts";
import { GraphScope, type Target } from "./graph_scope.ts";
import { addHead, type HeadWeights } from "./head_graph.ts";
import type { PreparedLayer } from "./layer_weights.ts";

/** A layer in a graph: its weights are inputs (or initializers) called "<prefix><name>". */
export interface StageLayer {
  readonly layer: PreparedLayer;
  /** Also of its cache's inputs and outputs: "<prefix>first", "<prefix>second". */
  readonly prefix: string;
  /** Its rotary tables are the inputs "cos.<slot>" and "sin.<slot>". */
  readonly slot: number;
}

/** What a graph over whole sequences gives of each layer: its attention input, or its part of the cache. */
export type LayerOutput = "h" | "first" | "second";

/** x plus a branch that is still to be added; the next norm adds it on its way. */
interface Stream {
  readonly x: string;
  readonly branch?: string;
}

/**
 * Layers over whole sequences: x `[B·T, D]` to y `[B·T, D]`, and of each layer what is
 * wanted: "<prefix>h" `[B·T, D]`, "<prefix>first" and "<prefix>second" `[T, B, width]`.
 *
 * @param tokens T; B is free.
 */
export function prefillGraph(
  layers: readonly StageLayer[],
  tokens: number,
  target: Target,
  wanted: readonly LayerOutput[],
): GraphBuilder {
  const graph = new GraphBuilder();
  let stream: Stream = { x: inputX(graph, layers, "rows") };
  for (const stage of layers) {
    const { sizes, scope, attend } = place(graph, stage, target);
    const cached = (
      part: LayerOutput,
      value: string | undefined,
      width: number,
    ) => {
      if (!wanted.includes(part) || value === undefined || width === 0) return;
      const byToken = graph.transpose(value, [1, 0, 2]);
      const shape = [tokens, "batch", width];
      graph.output(`${stage.prefix}${part}`, byToken, "float32", shape);
    };
    stream = attend(stream, (h) => {
      const rows = ["rows", hiddenSize(stage.layer)];
      if (wanted.includes("h")) {
        graph.output(`${stage.prefix}h`, h, "float32", rows);
      }
      const result = attentionPrefill(scope, sizes, h, tokens);
      const [first, second] = cachedWidths(sizes);
      cached("first", result.first, first);
      cached("second", result.second, second);
      return result;
    });
  }
  outputX(graph, layers, stream, "rows");
  return graph;
}

/**
 * Every layer, the final norm and the head for one new token a sequence:
 * x `[B, D]` and the cache to logits `[B, V]` and the cache's new rows.
 */
export function decodeGraph(
  layers: readonly StageLayer[],
  head: HeadWeights,
  batch: number,
  target: Target,
): GraphBuilder {
  const graph = new GraphBuilder();
  let stream: Stream = { x: inputX(graph, layers, batch) };
  for (const stage of layers) {
    const { sizes, scope, attend } = place(graph, stage, target);
    const past = (part: string) => (axes: readonly number[]) =>
      graph.input(`${stage.prefix}past.${part}`, "float32", ["past", ...axes]);
    stream = attend(stream, (h) => {
      const result = attentionDecode(scope, sizes, h, batch, {
        first: past("first"),
        second: past("second"),
      });
      const [first, second] = cachedWidths(sizes);
      const row = (part: string, value: string | undefined, width: number) => {
        if (value === undefined || width === 0) return;
        const flat = graph.reshape(value, [batch, width]);
        const shape = [batch, width];
        graph.output(`${stage.prefix}${part}`, flat, "float32", shape);
      };
      row("first", result.first, first);
      row("second", result.second, second);
      return result;
    });
  }
  const logits = addHead(graph, stream, head, target);
  const [vocabulary] = head.weights.get("lmHead")!.shape;
  graph.output("logits", logits, "float32", [batch, vocabulary!]);
  return graph;
}

/** A layer's scope and its residual structure around the attention handed in. */
function place(
  graph: GraphBuilder,
  { layer, prefix, slot }: StageLayer,
  target: Target,
) {
  const { weights, eps, attention: sizes, rotary } = layer;
  const scope = new GraphScope(graph, {
    prefix,
    weights,
    target,
    rotary: { slot, layout: rotary.layout },
  });
  const attend = (
    stream: Stream,
    attention: (h: string) => AttentionResult,
  ): Stream => {
    const before = scope.norm(stream.x, stream.branch, "inputNorm", eps);
    const { mixed } = attention(before.normed);
    const between = scope.norm(
      before.sum,
      scope.linear(mixed, "oProj"),
      "postAttentionNorm",
      eps,
    );
    // QuickGelu with alpha 1 is SiLU: y sigmoid(alpha y).
    const gate = graph.node("QuickGelu", [
      scope.linear(between.normed, "gateProj"),
    ], { alpha: { float: 1 } });
    const up = scope.linear(between.normed, "upProj");
    const inner = graph.node("Mul", [gate, up]);
    return { x: between.sum, branch: scope.linear(inner, "downProj") };
  };
  return { sizes, scope, attend };
}

function hiddenSize(layer: PreparedLayer): number {
  return layer.weights.get("inputNorm")!.data.length;
}

function inputX(
  graph: GraphBuilder,
  layers: readonly StageLayer[],
  rows: number | string,
): string {
  return graph.input("x", "float32", [rows, hiddenSize(layers[0]!.layer)]);
}

function outputX(
  graph: GraphBuilder,
  layers: readonly StageLayer[],
  { x, branch }: Stream,
  rows: number | string,
): void {
  const sum = branch === undefined ? x : graph.node("Add", [x, branch]);
  const shape = [rows, hiddenSize(layers[0]!.layer)];
  graph.output("y", sum, "float32", shape);
}
