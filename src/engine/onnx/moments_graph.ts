// Graphs for second moments: a layer's attention input without the layer, and
// its Gram matrix in f64.

import { GraphBuilder } from "../../linalg/onnx_graph.ts";
import { GraphScope, type Target } from "./graph_scope.ts";
import type { PreparedLayer } from "./layer_weights.ts";

/** ONNX's number of f64. */
const DOUBLE = 11;

/** x `[N, D]` to the attention input h `[N, D]`: for the last layer, whose output no moment needs. */
export function inputNormGraph(
  layer: PreparedLayer,
  target: Target,
): GraphBuilder {
  const graph = new GraphBuilder();
  const { weights, eps } = layer;
  const scope = new GraphScope(graph, { prefix: "", weights, target });
  const shape = ["rows", weights.get("inputNorm")!.data.length];
  const x = graph.input("x", "float32", shape);
  const { normed } = scope.norm(x, undefined, "inputNorm", eps);
  graph.output("h", normed, "float32", shape);
  return graph;
}

/** h `[N, D]` and ones `[N, 1]` to gram `[D+1, D+1]`, the f64 sum of [h;1][h;1]^T. For the CPU: no GPU provider multiplies f64. */
export function gramGraph(width: number): GraphBuilder {
  const graph = new GraphBuilder();
  const h = graph.input("h", "float32", ["rows", width]);
  const ones = graph.input("ones", "float32", ["rows", 1]);
  const joined = graph.node("Concat", [h, ones], { axis: 1 });
  const wide = graph.node("Cast", [joined], { to: DOUBLE });
  const gram = graph.node("Gemm", [wide, wide], { transA: 1 });
  graph.output("gram", gram, "float64", [width + 1, width + 1]);
  return graph;
}
