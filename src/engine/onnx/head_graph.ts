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
  const axis = graph.ints([1]);
  const pick = (values: string) =>
    graph.node("GatherElements", [values, labels], { axis: 1 });
  let own: string;
  if (target.device === "cpu") {
    own = pick(graph.node("LogSoftmax", [logits], { axis: -1 }));
  } else {
    // onnxruntime's WebGPU provider has no LogSoftmax: it would bring all logits back.
    const top = graph.node("ReduceMax", [logits, axis]);
    const shifted = graph.node("Sub", [logits, top]);
    const sum = graph.node("ReduceSum", [graph.node("Exp", [shifted]), axis]);
    own = graph.node("Sub", [pick(shifted), graph.node("Log", [sum])]);
  }
  graph.output("logProbability", own, "float32", ["rows", 1]);
  return graph;
}

function headGraph(head: HeadWeights, target: Target) {
  const graph = new GraphBuilder();
  const [vocabulary, width] = head.weights.get("lmHead")!.shape;
  const x = graph.input("x", "float32", ["rows", width!]);
  const logits = addHead(graph, { x }, head, target);
  return { graph, logits, vocabulary: vocabulary! };
}
