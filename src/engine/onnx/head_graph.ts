// The final norm, the language-model head and the loss in graphs.

import type { Tensor } from "../../base/tensor.ts";
import { GraphBuilder } from "../../linalg/onnx_graph.ts";
import { GraphScope, type Target } from "./graph_scope.ts";

/** "finalNorm" [D] and "lmHead" [V, D]. */
export interface HeadWeights {
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly eps: number;
}

/** Adds norm and head to a graph; returns the logits, `[N, V]`. */
export function addHead(
  graph: GraphBuilder,
  { x, branch }: { x: string; branch?: string },
  { weights, eps }: HeadWeights,
  target: Target,
): string {
  const scope = new GraphScope(graph, { prefix: "", weights, target });
  const { normed } = scope.norm(x, branch, "finalNorm", eps);
  return scope.linear(normed, "lmHead");
}

/** x `[N, D]` to logits `[N, V]`. */
export function logitsGraph(head: HeadWeights, target: Target): GraphBuilder {
  const { graph, logits, vocabulary } = headGraph(head, target);
  graph.output("logits", logits, "float32", ["rows", vocabulary]);
  return graph;
}

/** x `[N, D]` and labels `[N, 1]` to log p(label), `[N, 1]`. */
export function lossGraph(head: HeadWeights, target: Target): GraphBuilder {
  const { graph, logits } = headGraph(head, target);
  const labels = graph.input("labels", "int64", ["rows", 1]);
  const pick = (values: string) =>
    graph.node("GatherElements", [values, labels], { axis: 1 });
  let own: string;
  if (target.device === "cpu") {
    own = pick(graph.node("LogSoftmax", [logits], { axis: -1 }));
  } else {
    const { shifted, logSum } = shiftedLogits(graph, logits);
    own = graph.node("Sub", [pick(shifted), logSum]);
  }
  graph.output("logProbability", own, "float32", ["rows", 1]);
  return graph;
}

/** x `[N, D]` to its norm, `[N, D]`. */
export function finalNormGraph(
  head: HeadWeights,
  target: Target,
): GraphBuilder {
  const graph = new GraphBuilder();
  const { scope, x, width } = normedInput(graph, head, target);
  graph.output(
    "normed",
    scope.norm(x, undefined, "finalNorm", head.eps).normed,
    "float32",
    ["rows", width],
  );
  return graph;
}

/**
 * x `[N, D]` and an original's normed states `[N, D]` to KL(original || model),
 * `[N, 1]`, and the most likely token of each, `[N, 1]`.
 */
export function divergenceGraph(
  head: HeadWeights,
  target: Target,
): GraphBuilder {
  const graph = new GraphBuilder();
  const { scope, x, width } = normedInput(graph, head, target);
  const original = graph.input("original", "float32", ["rows", width]);
  const { normed } = scope.norm(x, undefined, "finalNorm", head.eps);
  const [p, q] = [original, normed].map((states, i) => {
    const logits = scope.linear(states, "lmHead");
    const top = graph.node("ArgMax", [logits], { axis: 1, keepdims: 1 });
    graph.output(["originalTop", "top"][i]!, top, "int64", ["rows", 1]);
    return logProbabilities(graph, logits, target);
  });
  const terms = graph.node("Mul", [
    graph.node("Exp", [p!]),
    graph.node("Sub", [p!, q!]),
  ]);
  const kl = graph.node("ReduceSum", [terms, graph.ints([1])]);
  graph.output("kl", kl, "float32", ["rows", 1]);
  return graph;
}

function logProbabilities(
  graph: GraphBuilder,
  logits: string,
  target: Target,
): string {
  if (target.device === "cpu") {
    return graph.node("LogSoftmax", [logits], { axis: -1 });
  }
  const { shifted, logSum } = shiftedLogits(graph, logits);
  return graph.node("Sub", [shifted, logSum]);
}

/** Logits less their largest, and the logarithm of the sum of their exponentials: onnxruntime's WebGPU provider has no LogSoftmax, and would bring all logits back. */
function shiftedLogits(graph: GraphBuilder, logits: string) {
  const axis = graph.ints([1]);
  const top = graph.node("ReduceMax", [logits, axis]);
  const shifted = graph.node("Sub", [logits, top]);
  const sum = graph.node("ReduceSum", [graph.node("Exp", [shifted]), axis]);
  return { shifted, logSum: graph.node("Log", [sum]) };
}

function normedInput(
  graph: GraphBuilder,
  { weights }: HeadWeights,
  target: Target,
) {
  const width = weights.get("lmHead")!.shape[1]!;
  const scope = new GraphScope(graph, { prefix: "", weights, target });
  return { scope, x: graph.input("x", "float32", ["rows", width]), width };
}

function headGraph(head: HeadWeights, target: Target) {
  const graph = new GraphBuilder();
  const [vocabulary, width] = head.weights.get("lmHead")!.shape;
  const x = graph.input("x", "float32", ["rows", width!]);
  const logits = addHead(graph, { x }, head, target);
  return { graph, logits, vocabulary: vocabulary! };
}
