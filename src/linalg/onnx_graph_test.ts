import { assertEquals } from "@std/assert";
import { GraphBuilder } from "./onnx_graph.ts";
import { createSession, ort } from "./onnx_runtime.ts";

Deno.test("GraphBuilder writes a graph with fed and external weights that runs", async () => {
  const graph = new GraphBuilder();
  const x = graph.input("x", "float32", ["rows", 2]);
  const weight = Float32Array.of(1, 2, 3, 4, 5, 6);
  const owned = graph.externalWeight("owned", weight, [3, 2]);
  const fed = graph.input("fed", "float32", [3]);
  const product = graph.node("Gemm", [x, owned, fed], { transB: 1 });
  const scaled = graph.node("Mul", [product, graph.floats([2], [1])]);
  // A result may be an output and go on.
  graph.output("product", product, "float32", ["rows", 3]);
  graph.output("last", graph.slice(scaled, 1, 2, 3), "float32", ["rows", 1]);
  const session = await createSession(graph, { threads: 1 });
  assertEquals([...session.inputNames].sort(), ["fed", "x"]);
  const result = await session.run({
    x: new ort.Tensor("float32", Float32Array.of(1, 0, 0, 1), [2, 2]),
    fed: new ort.Tensor("float32", Float32Array.of(10, 20, 30), [3]),
  });
  await session.release();
  assertEquals([...result.product!.data as Float32Array], [
    11,
    23,
    35,
    12,
    24,
    36,
  ]);
  assertEquals([...result.last!.data as Float32Array], [70, 72]);
});

Deno.test("GraphBuilder keeps one constant for equal values", () => {
  const graph = new GraphBuilder();
  assertEquals(graph.ints([1, 2]), graph.ints([1, 2]));
  assertEquals(graph.ints([1]) === graph.floats([1], [1]), false);
});
