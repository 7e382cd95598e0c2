// Attention with one rotary key for all heads in graphs: partial RoPE on merged
// keys, and multi-head latent attention. Whole sequences are scored in the
// expanded form (a key of m + n dims for each group), single tokens in the
// absorbed form, straight from the cache.

import type { GraphScope } from "./graph_scope.ts";
import type { SharedRotarySizes } from "./layer_weights.ts";
import type { AttentionResult, Past } from "./attention.ts";

/** Causal attention over whole sequences. h `[B·T, D]`. */
export function sharedRotaryPrefill(
  scope: GraphScope,
  sizes: SharedRotarySizes,
  h: string,
  tokens: number,
): AttentionResult {
  const { graph } = scope;
  const { heads, groups, rotaryDim: m, nopeDim: n, valueDim: v } = sizes;
  const perHead = (x: string, count: number, width: number) =>
    graph.transpose(graph.reshape(x, [-1, tokens, count, width]), [0, 2, 1, 3]);
  const q = scope.rotate(
    graph.reshape(scope.linear(h, "qProj"), [-1, tokens, heads * (m + n)]),
    heads,
    m + n,
    m,
  );
  const keys = sizes.kind === "merged"
    ? mergedKeys(scope, sizes, h, tokens)
    : latentKeys(scope, sizes, h, tokens);
  const parts: string[] = [];
  if (keys.rotary !== undefined) {
    const one = graph.reshape(keys.rotary, [-1, tokens, 1, m]);
    parts.push(
      graph.node("Expand", [one, graph.ints([1, 1, groups, 1])]),
    );
  }
  if (keys.nope !== undefined) {
    parts.push(graph.reshape(keys.nope, [-1, tokens, groups, n]));
  }
  const k = parts.length === 1
    ? parts[0]!
    : graph.node("Concat", parts, { axis: 3 });
  const mixed = scope.causalAttention({
    q: perHead(q, heads, m + n),
    k: graph.transpose(k, [0, 2, 1, 3]),
    v: perHead(keys.values, groups, v),
    tokens,
    heads,
    groups,
    keyDim: m + n,
    valueDim: v,
    scale: sizes.scale,
  });
  return { mixed, first: keys.first, second: keys.second };
}

/** Expanded keys and values, and what the cache keeps of them. */
interface ExpandedKeys {
  /** `[B, T, m]` */
  readonly rotary: string | undefined;
  /** `[B·T, G·n]` */
  readonly nope: string | undefined;
  /** `[B·T, G·v]` */
  readonly values: string;
  /** `[B, T, width]` */
  readonly first: string;
  readonly second: string | undefined;
}

/** k' = [rotary m; the rest], from which group g's own key is keyBasis[m:, g]^T k'[m:]. */
function mergedKeys(
  scope: GraphScope,
  sizes: SharedRotarySizes,
  h: string,
  tokens: number,
): ExpandedKeys {
  const { graph } = scope;
  const { groups, rotaryDim: m, nopeDim: n, sourceDim, valueDim } = sizes;
  const width = m + sourceDim;
  const k = scope.rotate(
    graph.reshape(scope.linear(h, "kProj"), [-1, tokens, width]),
    1,
    width,
    m,
  );
  const values = scope.linear(h, "vProj");
  const nope = n === 0 ? undefined : graph.node("MatMul", [
    graph.reshape(m === 0 ? k : graph.slice(k, 2, m, width), [-1, sourceDim]),
    scope.weight("keyBasisRows"),
  ]);
  return {
    rotary: m === 0 ? undefined : graph.slice(k, 2, 0, m),
    nope,
    values,
    first: k,
    second: graph.reshape(values, [-1, tokens, groups * valueDim]),
  };
}

/** c and k_r; [k_g; v_g] = kvB_g c. */
function latentKeys(
  scope: GraphScope,
  sizes: SharedRotarySizes,
  h: string,
  tokens: number,
): ExpandedKeys {
  const { graph } = scope;
  const { rotaryDim: m, nopeDim: n, sourceDim: r } = sizes;
  const latent = scope.linear(h, "latentProj");
  const rotary = m === 0 ? undefined : scope.rotate(
    graph.reshape(scope.linear(h, "keyRotary"), [-1, tokens, m]),
    1,
    m,
    m,
  );
  return {
    rotary,
    nope: n === 0 ? undefined : scope.linear(latent, "keyUpRows"),
    values: scope.linear(latent, "valueUpRows"),
    first: graph.reshape(latent, [-1, tokens, r]),
    second: rotary,
  };
}

/** One new token a sequence. h `[B, D]`; past `[P, B, width]` each. */
export function sharedRotaryDecode(
  scope: GraphScope,
  sizes: SharedRotarySizes,
  h: string,
  batch: number,
  past: Past,
): AttentionResult {
  const { graph } = scope;
  const { heads, rotaryDim: m, nopeDim: n } = sizes;
  const q = graph.reshape(
    scope.rotate(
      graph.reshape(scope.linear(h, "qProj"), [batch, 1, heads * (m + n)]),
      heads,
      m + n,
      m,
    ),
    [batch, heads, m + n],
  );
  const rotary = n === 0 ? q : graph.slice(q, 2, 0, m);
  const absorbed = n === 0 ? undefined : absorbKeys(
    scope,
    sizes,
    m === 0 ? q : graph.slice(q, 2, m, m + n),
    batch,
  );
  return sizes.kind === "merged"
    ? mergedDecode(scope, sizes, { h, rotary, absorbed }, batch, past)
    : latentDecode(scope, sizes, { h, rotary, absorbed }, batch, past);
}

/** The query's two parts: `[B, H, m]` and `[B, H, sourceDim]`. */
interface AbsorbedQuery {
  readonly h: string;
  readonly rotary: string;
  readonly absorbed: string | undefined;
}

/** The nope query against the keys' source: keyUp_g^T q_n, or keyBasis[m:, g] q_n. */
function absorbKeys(
  scope: GraphScope,
  sizes: SharedRotarySizes,
  nope: string,
  batch: number,
): string {
  const { nopeDim: n, sourceDim } = sizes;
  const grouped = byGroup(scope, sizes, nope, batch, n);
  const product = sizes.kind === "merged"
    ? scope.product(grouped, scope.weight("keyBasis"), {
      transposed: true,
      batchSecond: true,
    })
    : scope.product(grouped, scope.weight("keyUp"), {});
  return bySequence(scope, sizes, product, batch, sourceDim);
}

function mergedDecode(
  scope: GraphScope,
  sizes: SharedRotarySizes,
  { h, rotary, absorbed }: AbsorbedQuery,
  batch: number,
  past: Past,
): AttentionResult {
  const { graph } = scope;
  const { heads, groups, rotaryDim: m, sourceDim, valueDim: v, scale } = sizes;
  const width = m + sourceDim;
  const k = scope.rotate(
    graph.reshape(scope.linear(h, "kProj"), [batch, 1, width]),
    1,
    width,
    m,
  );
  const values = scope.linear(h, "vProj");
  const q = absorbed === undefined
    ? rotary
    : m === 0
    ? absorbed
    : graph.node("Concat", [rotary, absorbed], { axis: 2 });
  const weights = scope.shareOut(
    scope.product(q, past.first([batch, width]), {
      transposed: true,
      batchSecond: true,
      factor: scale,
    }),
    scope.product(q, k, { transposed: true, factor: scale }),
  );
  const grouped = (x: string, columns: number) =>
    graph.reshape(x, [batch * groups, heads / groups, columns]);
  const mixed = graph.node("Add", [
    scope.product(
      grouped(weights.past, -1),
      past.second([batch * groups, v]),
      { batchSecond: true },
    ),
    graph.node("Mul", [
      grouped(weights.own, 1),
      graph.reshape(values, [batch * groups, 1, v]),
    ]),
  ]);
  return {
    mixed: graph.reshape(mixed, [batch, heads * v]),
    first: k,
    second: values,
  };
}

function latentDecode(
  scope: GraphScope,
  sizes: SharedRotarySizes,
  { h, rotary, absorbed }: AbsorbedQuery,
  batch: number,
  past: Past,
): AttentionResult {
  const { graph } = scope;
  const { heads, rotaryDim: m, valueDim: v, sourceDim: r, scale } = sizes;
  const latent = graph.reshape(scope.linear(h, "latentProj"), [batch, 1, r]);
  const keyRotary = m === 0 ? undefined : scope.rotate(
    graph.reshape(scope.linear(h, "keyRotary"), [batch, 1, m]),
    1,
    m,
    m,
  );
  const first = past.first([batch, r]);
  const scores = (
    ofLatent: string,
    ofRotary: string | undefined,
    batchSecond: boolean,
  ) => {
    const options = { transposed: true, batchSecond, factor: scale };
    const parts: string[] = [];
    if (absorbed !== undefined) {
      parts.push(scope.product(absorbed, ofLatent, options));
    }
    if (ofRotary !== undefined) {
      parts.push(scope.product(rotary, ofRotary, options));
    }
    return parts.length === 1 ? parts[0]! : graph.node("Add", parts);
  };
  const weights = scope.shareOut(
    scores(first, m === 0 ? undefined : past.second([batch, m]), true),
    scores(latent, keyRotary, false),
  );
  const mixed = graph.node("Add", [
    scope.product(weights.past, first, { batchSecond: true }),
    graph.node("Mul", [weights.own, latent]),
  ]);
  const values = scope.product(
    byGroup(scope, sizes, mixed, batch, r),
    scope.weight("valueUp"),
    { transposed: true },
  );
  return {
    mixed: graph.reshape(bySequence(scope, sizes, values, batch, v), [
      batch,
      heads * v,
    ]),
    first: latent,
    second: keyRotary,
  };
}

/** `[B, H, width]` to `[G, B·H/G, width]`. */
function byGroup(
  { graph }: GraphScope,
  { heads, groups }: SharedRotarySizes,
  x: string,
  batch: number,
  width: number,
): string {
  const perGroup = heads / groups;
  const rows = [groups, batch * perGroup, width];
  // One sequence is in order as it is.
  if (batch === 1) return graph.reshape(x, rows);
  const split = graph.reshape(x, [batch, groups, perGroup, width]);
  return graph.reshape(graph.transpose(split, [1, 0, 2, 3]), rows);
}

/** `[G, B·H/G, width]` to `[B, H, width]`. */
function bySequence(
  { graph }: GraphScope,
  { heads, groups }: SharedRotarySizes,
  x: string,
  batch: number,
  width: number,
): string {
  const rows = [batch, heads, width];
  if (batch === 1) return graph.reshape(x, rows);
  const split = graph.reshape(x, [groups, batch, heads / groups, width]);
  return graph.reshape(graph.transpose(split, [1, 0, 2, 3]), rows);
}
