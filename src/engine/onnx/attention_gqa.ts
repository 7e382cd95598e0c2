// Grouped-query attention in graphs. The cache holds rotated keys and values.

import type { GraphScope } from "./graph_scope.ts";
import type { GroupedSizes } from "./layer_weights.ts";
import type { AttentionResult, Past } from "./attention.ts";

/** Causal attention over whole sequences. h `[B·T, D]`. */
export function groupedPrefill(
  scope: GraphScope,
  { heads, groups, headDim, scale }: GroupedSizes,
  h: string,
  tokens: number,
): AttentionResult {
  const { graph } = scope;
  const project = (name: string, count: number) =>
    graph.reshape(scope.linear(h, name), [-1, tokens, count * headDim]);
  const perHead = (x: string, count: number) =>
    graph.transpose(graph.reshape(x, [0, tokens, count, headDim]), [
      0,
      2,
      1,
      3,
    ]);
  const q = scope.rotate(project("qProj", heads), heads, headDim, headDim);
  const k = scope.rotate(project("kProj", groups), groups, headDim, headDim);
  const v = project("vProj", groups);
  const mixed = scope.causalAttention({
    q: perHead(q, heads),
    k: perHead(k, groups),
    v: perHead(v, groups),
    tokens,
    heads,
    groups,
    keyDim: headDim,
    valueDim: headDim,
    scale,
  });
  return { mixed, first: k, second: v };
}

/** One new token a sequence. h `[B, D]`; past keys and values `[P, B, G·d]`. */
export function groupedDecode(
  scope: GraphScope,
  { heads, groups, headDim, scale }: GroupedSizes,
  h: string,
  batch: number,
  past: Past,
): AttentionResult {
  const { graph } = scope;
  const perGroup = heads / groups;
  const rotated = (name: string, count: number) =>
    scope.rotate(
      graph.reshape(scope.linear(h, name), [batch, 1, count * headDim]),
      count,
      headDim,
      headDim,
    );
  const k = rotated("kProj", groups);
  const v = scope.linear(h, "vProj");
  const q = graph.reshape(rotated("qProj", heads), [
    batch * groups,
    perGroup,
    headDim,
  ]);
  const rows = [batch * groups, 1, headDim];
  const pastShape = [batch * groups, headDim];
  const weights = scope.shareOut(
    scope.product(q, past.first(pastShape), {
      transposed: true,
      batchSecond: true,
      factor: scale,
    }),
    scope.product(q, graph.reshape(k, rows), {
      transposed: true,
      factor: scale,
    }),
  );
  const mixed = graph.node("Add", [
    scope.product(weights.past, past.second(pastShape), { batchSecond: true }),
    graph.node("Mul", [weights.own, graph.reshape(v, rows)]),
  ]);
  return {
    mixed: graph.reshape(mixed, [batch, heads * headDim]),
    first: k,
    second: v,
  };
}
