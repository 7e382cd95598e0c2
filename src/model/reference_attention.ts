// The three attention kinds of decoder.ts, written plainly: the oracle that
// engines and conversions are tested against. Queries stand at the positions
// after those in the cache, so prefill and decode are the same code.
//
// Letters: P tokens in the cache before the call, T new tokens, S = P + T.

import type {
  Attention,
  GqaAttention,
  MlaAttention,
  PartialRopeAttention,
} from "./decoder.ts";
import { cacheWidths } from "./decoder.ts";
import type { AttentionSums } from "./moments.ts";
import {
  applyLinear,
  dot,
  multiplyTransposed,
} from "./reference_arithmetic.ts";
import { attendHead, rotateHeads } from "./reference_head.ts";

/**
 * How latent attention is computed. "expanded": keys and values of every head
 * are made from the latents. "absorbed": queries are mapped into the latent
 * space instead, and nothing of width n or v is made per cached token.
 */
export type MlaForm = "expanded" | "absorbed";

/** How attention is computed, and what else it tells. */
export interface AttendOptions {
  /** How MLA is computed; other kinds ignore it. @default "expanded" */
  readonly form?: MlaForm;
  /** Takes the attention weights of all heads and queries, added to what is there: both arrays [S]. */
  readonly sums?: AttentionSums | undefined;
}

/** One layer's cache, f64: exactly the numbers that decoder.ts names, rotary parts already rotated. */
export interface LayerCache {
  /** [capacity, cacheWidths().first] */
  readonly first: Float64Array;
  /** [capacity, cacheWidths().second] */
  readonly second: Float64Array;
  /** Rows in use. */
  tokens: number;
}

/**
 * Makes an empty cache.
 *
 * @param attention The layer's attention.
 * @param capacity Tokens that it can hold.
 * @returns The cache.
 */
export function newLayerCache(
  attention: Attention,
  capacity: number,
): LayerCache {
  const { first, second } = cacheWidths(attention);
  return {
    first: new Float64Array(capacity * first),
    second: new Float64Array(capacity * second),
    tokens: 0,
  };
}

/**
 * Attention of T new tokens to those in the cache and, causally, to each other;
 * appends the new tokens to the cache.
 *
 * @param attention The layer's attention.
 * @param y Normed layer input, [T, D].
 * @param rows T.
 * @param cache The tokens before; its room must suffice for T more.
 * @param options How it is computed.
 * @returns Output of oProj, [T, D].
 * @throws {RangeError} If the cache has no room for T tokens.
 */
export function attend(
  attention: Attention,
  y: Float64Array,
  rows: number,
  cache: LayerCache,
  options: AttendOptions = {},
): Float64Array {
  const { first } = cacheWidths(attention);
  const capacity = cache.first.length / first;
  if (cache.tokens + rows > capacity) {
    throw new RangeError(
      `Cannot append ${rows} tokens to a cache of ${cache.tokens} as its capacity is ${capacity}`,
    );
  }
  let heads: Float64Array;
  switch (attention.kind) {
    case "gqa":
      heads = attendGqa(attention, y, rows, cache, options);
      break;
    case "partialRope":
      heads = attendPartialRope(attention, y, rows, cache, options);
      break;
    case "mla":
      heads = attendMla(attention, y, rows, cache, options);
      break;
    default:
      return attention satisfies never;
  }
  cache.tokens += rows;
  return applyLinear(heads, rows, attention.oProj);
}

/** Returns the heads' outputs, [T, H·d]. */
function attendGqa(
  attention: GqaAttention,
  y: Float64Array,
  rows: number,
  cache: LayerCache,
  { sums }: AttendOptions,
): Float64Array {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: d, rotary } =
    attention;
  const past = cache.tokens;
  const q = applyLinear(y, rows, attention.qProj);
  const k = applyLinear(y, rows, attention.kProj);
  rotateHeads(q, rows, { stride: d, start: 0 }, rotary, past);
  rotateHeads(k, rows, { stride: d, start: 0 }, rotary, past);
  cache.first.set(k, past * G * d);
  cache.second.set(applyLinear(y, rows, attention.vProj), past * G * d);
  const out = new Float64Array(rows * H * d);
  for (let h = 0; h < H; h++) {
    const g = Math.floor(h * G / H);
    const query = { data: q, start: h * d, stride: H * d, width: d };
    const key = { data: cache.first, start: g * d, stride: G * d, width: d };
    attendHead(
      [{ query, key }],
      { ...key, data: cache.second },
      { ...query, data: out },
      { past, rows, softmaxScale: attention.softmaxScale },
      sums,
    );
  }
  return out;
}

/** Returns the heads' outputs, [T, H·d]. */
function attendPartialRope(
  attention: PartialRopeAttention,
  y: Float64Array,
  rows: number,
  cache: LayerCache,
  { sums }: AttendOptions,
): Float64Array {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: d, rotary } =
    attention;
  const past = cache.tokens;
  const merged = G * d;
  const q = applyLinear(y, rows, attention.qProj);
  const k = applyLinear(y, rows, attention.kProj);
  rotateHeads(k, rows, { stride: merged, start: 0 }, rotary, past);
  cache.first.set(k, past * merged);
  cache.second.set(applyLinear(y, rows, attention.vProj), past * merged);
  const out = new Float64Array(rows * H * d);
  const basis = attention.keyBasis.data;
  const mergedQuery = new Float64Array(rows * merged);
  const query = { data: mergedQuery, start: 0, stride: merged, width: merged };
  for (let h = 0; h < H; h++) {
    const g = Math.floor(h * G / H);
    for (let t = 0; t < rows; t++) {
      for (let i = 0; i < merged; i++) {
        mergedQuery[t * merged + i] = dot(
          basis,
          i * merged + g * d,
          q,
          (t * H + h) * d,
          d,
        );
      }
    }
    rotateHeads(mergedQuery, rows, { stride: merged, start: 0 }, rotary, past);
    attendHead(
      [{ query, key: { ...query, data: cache.first } }],
      { data: cache.second, start: g * d, stride: merged, width: d },
      { data: out, start: h * d, stride: H * d, width: d },
      { past, rows, softmaxScale: attention.softmaxScale },
      sums,
    );
  }
  return out;
}

/** Returns the heads' outputs, [T, H·v]. */
function attendMla(
  attention: MlaAttention,
  y: Float64Array,
  rows: number,
  cache: LayerCache,
  { form = "expanded", sums }: AttendOptions,
): Float64Array {
  const {
    numAttentionHeads: H,
    numKeyValueHeads: G,
    qkNopeHeadDim: n,
    qkRopeHeadDim: m,
    vHeadDim: v,
    kvLoraRank: r,
    rotary,
  } = attention;
  const past = cache.tokens;
  const total = past + rows;
  const q = applyLinear(y, rows, attention.qProj);
  rotateHeads(q, rows, { stride: n + m, start: n }, rotary, past);
  const kvA = applyLinear(y, rows, attention.kvAProjWithMqa);
  rotateHeads(kvA, rows, { stride: r + m, start: r }, rotary, past);
  for (let t = 0; t < rows; t++) {
    const row = t * (r + m);
    cache.first.set(kvA.subarray(row, row + r), (past + t) * r);
    cache.second.set(kvA.subarray(row + r, row + r + m), (past + t) * m);
  }
  const latent = { data: cache.first, start: 0, stride: r, width: r };
  const rotaryKey = { data: cache.second, start: 0, stride: m, width: m };
  const up = attention.kvBProj.data;
  const kvB = form === "expanded"
    ? multiplyTransposed(
      cache.first.subarray(0, total * r),
      total,
      attention.kvBProj,
    )
    : undefined;
  const out = new Float64Array(rows * H * v);
  for (let h = 0; h < H; h++) {
    const g = Math.floor(h * G / H);
    const upRow = g * (n + v);
    const qNope = { data: q, start: h * (n + m), stride: H * (n + m) };
    const rotaryPart = {
      query: { ...qNope, start: qNope.start + n, width: m },
      key: rotaryKey,
    };
    const output = { data: out, start: h * v, stride: H * v, width: v };
    const span = { past, rows, softmaxScale: attention.softmaxScale };
    if (kvB !== undefined) {
      const key = { data: kvB, start: upRow, stride: G * (n + v), width: n };
      const value = { ...key, start: upRow + n, width: v };
      const nope = { query: { ...qNope, width: n }, key };
      attendHead([nope, rotaryPart], value, output, span, sums);
      continue;
    }
    // q_lat = einsum("tn,nr->tr", qNope_h, kUp_g)
    const qLatent = new Float64Array(rows * r);
    for (let t = 0; t < rows; t++) {
      for (let i = 0; i < n; i++) {
        const element = q[qNope.start + t * qNope.stride + i]!;
        const row = (upRow + i) * r;
        for (let j = 0; j < r; j++) {
          qLatent[t * r + j]! += element * up[row + j]!;
        }
      }
    }
    const mixed = { ...latent, data: new Float64Array(rows * r) };
    const nope = { query: { ...latent, data: qLatent }, key: latent };
    attendHead([nope, rotaryPart], latent, mixed, span, sums);
    // out_h = einsum("tr,vr->tv", sum p c, vUp_g)
    for (let t = 0; t < rows; t++) {
      for (let i = 0; i < v; i++) {
        out[output.start + t * output.stride + i] = dot(
          mixed.data,
          t * r,
          up,
          (upRow + n + i) * r,
          r,
        );
      }
    }
  }
  return out;
}
