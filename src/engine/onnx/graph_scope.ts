// One layer's place in a graph: its weights under a prefix, its rotary tables,
// and the few compound operations that every attention kind is made of.

import type { Tensor } from "../../base/tensor.ts";
import type { GraphBuilder } from "../../linalg/onnx_graph.ts";
import type { Rotary } from "../../model/decoder.ts";

/** Where a graph runs and where its weights are; decides what it may consist of. */
export interface Target {
  readonly device: "cpu" | "webgpu";
  /**
   * "fed": inputs, without a copy, so that a graph serves all weights of its shapes.
   * "owned": the session's, in a layout that products of few rows read about twice
   * as fast; and on a GPU, to which feeds are uploaded at every run.
   */
  readonly weights: "fed" | "owned";
}

/** Tokens of one query block of causal attention: keys after the block are never touched. */
const QUERY_BLOCK = 256;

/** Operations within one layer of a graph. */
export class GraphScope {
  readonly graph: GraphBuilder;
  readonly #prefix: string;
  readonly #weights: ReadonlyMap<string, Tensor>;
  readonly #target: Target;
  readonly #rotary: {
    readonly slot: number;
    readonly layout: Rotary["layout"];
  };

  constructor(
    graph: GraphBuilder,
    options: {
      prefix: string;
      weights: ReadonlyMap<string, Tensor>;
      target: Target;
      /** Number of the inputs `cos.<slot>` and `sin.<slot>`. */
      rotary?: { slot: number; layout: Rotary["layout"] };
    },
  ) {
    this.graph = graph;
    this.#prefix = options.prefix;
    this.#weights = options.weights;
    this.#target = options.target;
    this.#rotary = options.rotary ?? { slot: 0, layout: "half" };
  }

  /** A weight by name. */
  weight(name: string): string {
    const found = this.#weights.get(name);
    if (found === undefined) throw new TypeError(`No weight ${name}`);
    const { data, shape } = found;
    const full = `${this.#prefix}${name}`;
    return this.#target.weights === "fed"
      ? this.graph.input(full, "float32", shape)
      : this.graph.externalWeight(full, data, shape);
  }

  /** x W^T + b. x `[N, in]`, result `[N, out]`. */
  linear(x: string, name: string): string {
    const inputs = [x, this.weight(name)];
    const bias = `${name}.bias`;
    if (this.#weights.has(bias)) inputs.push(this.weight(bias));
    return this.graph.node("Gemm", inputs, { transB: 1 });
  }

  /**
   * RMSNorm(x + branch).
   *
   * @returns The norm, and x + branch.
   */
  norm(
    x: string,
    branch: string | undefined,
    name: string,
    eps: number,
  ): { normed: string; sum: string } {
    const epsilon = { float: eps };
    const gamma = this.weight(name);
    if (branch === undefined) {
      const normed = this.graph.node("SimplifiedLayerNormalization", [
        x,
        gamma,
      ], { axis: -1, epsilon });
      return { normed, sum: x };
    }
    const outputs = this.graph.nodes(
      "SkipSimplifiedLayerNormalization",
      [x, branch, gamma],
      { epsilon },
      ["normed", "", "", "sum"],
    );
    return { normed: outputs[0]!, sum: outputs[3]! };
  }

  /** RoPE on the first `rotaryDim` of each head's `width` dims. x `[B, T, heads·width]`; none where rotaryDim is 0. */
  rotate(x: string, heads: number, width: number, rotaryDim: number): string {
    if (rotaryDim === 0) return x;
    const { slot, layout } = this.#rotary;
    const table = ["positions", rotaryDim / 2];
    return this.graph.node("RotaryEmbedding", [
      x,
      this.graph.ints([0]),
      this.graph.input(`cos.${slot}`, "float32", table),
      this.graph.input(`sin.${slot}`, "float32", table),
    ], {
      interleaved: Number(layout === "interleaved"),
      num_heads: heads,
      ...(rotaryDim < width ? { rotary_embedding_dim: rotaryDim } : {}),
    });
  }

  /**
   * factor · a op(b), batched over the leading axes.
   *
   * @param a `[..., M, K]`.
   * @param b `[..., K, N]`; `[..., N, K]` if transposed; where `batchSecond`,
   *   the first two of its three axes are exchanged: `[K, batch, N]`, `[N, batch, K]`.
   */
  product(
    a: string,
    b: string,
    { transposed = false, batchSecond = false, factor = 1, rank = 3 },
  ): string {
    const { graph } = this;
    if (this.#target.device === "cpu") {
      if (!transposed && !batchSecond && factor === 1) {
        return graph.node("MatMul", [a, b]);
      }
      return graph.node("FusedMatMul", [a, b], {
        transB: Number(transposed),
        transBatchB: Number(batchSecond),
        alpha: { float: factor },
      });
    }
    const axes = Array.from({ length: rank }, (_, i) => i);
    if (batchSecond) [axes[0], axes[1]] = [axes[1]!, axes[0]!];
    if (transposed) {
      [axes[rank - 2], axes[rank - 1]] = [axes[rank - 1]!, axes[rank - 2]!];
    }
    const isPlain = axes.every((axis, i) => axis === i);
    const right = isPlain ? b : graph.transpose(b, axes);
    const scaled = factor === 1
      ? a
      : graph.node("Mul", [a, graph.floats([factor], [1])]);
    return graph.node("MatMul", [scaled, right]);
  }

  /**
   * Causal attention of whole sequences, block by block of queries.
   *
   * @param q `[B, H, T, k]`.
   * @param k `[B, G, T, k]`.
   * @param v `[B, G, T, v]`.
   * @returns `[B·T, H·v]`.
   */
  causalAttention(
    { q, k, v, tokens, heads, groups, keyDim, valueDim, scale }: {
      q: string;
      k: string;
      v: string;
      tokens: number;
      heads: number;
      groups: number;
      keyDim: number;
      valueDim: number;
      scale: number;
    },
  ): string {
    const { graph } = this;
    const perGroup = heads / groups;
    const block = causalBlock(tokens);
    const mask = graph.input("mask", "float32", [block, tokens]);
    const outputs: string[] = [];
    for (let start = 0; start < tokens; start += block) {
      const end = Math.min(tokens, start + block);
      const rows = end - start;
      // All heads of a group meet their shared keys in one product.
      const queries = graph.reshape(
        rows === tokens ? q : graph.slice(q, 2, start, end),
        [0, groups, perGroup * rows, keyDim],
      );
      const keys = end === tokens ? k : graph.slice(k, 2, 0, end);
      const values = end === tokens ? v : graph.slice(v, 2, 0, end);
      const scores = graph.reshape(
        this.product(queries, keys, {
          transposed: true,
          factor: scale,
          rank: 4,
        }),
        [0, heads, rows, end],
      );
      // The mask's last columns: all that is left of its diagonal is open.
      const open = rows < block
        ? graph.slice(mask, 0, block - rows, block)
        : mask;
      const masked = graph.node("Add", [
        scores,
        end === tokens ? open : graph.slice(open, 1, tokens - end, tokens),
      ]);
      const weights = graph.node("Softmax", [masked], { axis: -1 });
      const mixed = this.product(
        graph.reshape(weights, [0, groups, perGroup * rows, end]),
        values,
        { rank: 4 },
      );
      outputs.push(graph.reshape(mixed, [0, heads, rows, valueDim]));
    }
    const all = outputs.length === 1
      ? outputs[0]!
      : graph.node("Concat", outputs, { axis: 2 });
    return graph.reshape(graph.transpose(all, [0, 2, 1, 3]), [
      -1,
      heads * valueDim,
    ]);
  }

  /** Weights of the cached tokens and of the new one from their scores: softmax over both. */
  shareOut(past: string, own: string): { past: string; own: string } {
    const { graph } = this;
    const joined = graph.node("Concat", [past, own], { axis: 2 });
    const weights = graph.node("Softmax", [joined], { axis: -1 });
    return {
      past: graph.slice(weights, 2, 0, -1),
      own: graph.slice(weights, 2, -1, Number.MAX_SAFE_INTEGER),
    };
  }
}

/** Rows of one query block for sequences of `tokens`. */
function causalBlock(tokens: number): number {
  return Math.min(tokens, QUERY_BLOCK);
}

/**
 * What causalAttention() adds to scores, `[block, T]`: row i of the last block of
 * queries sees the columns up to its own position; earlier blocks use a part of it.
 */
export function causalMask(tokens: number): Tensor {
  const block = causalBlock(tokens);
  const data = new Float32Array(block * tokens);
  for (let i = 0; i < block; i++) {
    data.fill(
      -Infinity,
      i * tokens + tokens - block + i + 1,
      (i + 1) * tokens,
    );
  }
  return { shape: [block, tokens], data };
}
