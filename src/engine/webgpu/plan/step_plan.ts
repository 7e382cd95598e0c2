// One decode step of B sequences, recorded once: the token to feed and the
// lengths so far lie in buffers that the step itself moves on.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { absorbStore } from "../kernels/absorb_store.ts";
import { argmax } from "../kernels/argmax.ts";
import { attentionDecode } from "../kernels/attention_decode.ts";
import { attentionMerge } from "../kernels/attention_merge.ts";
import { type DecodeForm, decodeForm } from "../kernels/decode_form.ts";
import type { View } from "../kernels/kernel.ts";
import { linear } from "../kernels/linear.ts";
import { rotateStore } from "../kernels/rotate_store.ts";
import type { GpuModel } from "./gpu_model.ts";
import type { KvCache } from "./kv_cache.ts";
import type { AttentionForm, GpuLayer } from "./layer_weights.ts";
import { allocateRows, type Scratch, sharedRows } from "./scratch.ts";
import { stepProducts } from "./step_products.ts";

/** What a step moves on. */
export interface DecodeState {
  /** The token that each sequence is fed next, u32 [B]. */
  readonly tokens: GPUBuffer;
  /** Tokens of each sequence in the cache, u32 [B]. */
  readonly lengths: GPUBuffer;
  /** Logits after the latest token, f32 [B, V]. */
  readonly logits: View;
}

/** Buffers of a batch that is decoded. */
export function allocateState(
  arena: Arena,
  model: GpuModel,
  batch: number,
): DecodeState {
  return {
    tokens: arena.buffer("next tokens", batch * 4),
    lengths: arena.buffer("lengths", batch * 4),
    logits: allocateRows(arena, "logits", batch, model.vocabSize),
  };
}

/**
 * Records a step: from the token to feed to the next greedy one.
 *
 * @param arena Owns its buffers.
 * @param model The model.
 * @param cache Filled up to `lengths`; the step appends a row to each sequence.
 * @param state Tokens and lengths, both moved on by the step.
 * @param keys Keys of all sequences together, where rooflines are asked for.
 */
export function recordStep(
  arena: Arena,
  model: GpuModel,
  cache: KvCache,
  state: DecodeState,
  keys?: number,
): Dispatch[] {
  const { batch } = cache;
  const sequences = Uint32Array.from({ length: batch }, (_, b) => b);
  const rowSequence = arena.upload("row sequences", sequences);
  const products = stepProducts(arena, model, { batch, ...state });
  const attention = attentionScratch(arena, model, cache);
  return [
    ...products.embed(),
    ...model.layers.flatMap((layer, index) => [
      ...products.project(index),
      ...recordAttention(arena, model, layer, {
        cache,
        state,
        rowSequence,
        index,
        scratch: products.scratch(index),
        attention,
        keys,
      }),
      ...products.output(index),
      ...products.mlp(index),
    ]),
    ...products.head(),
    ...argmax(arena, {
      logits: state.logits,
      rows: batch,
      columns: model.vocabSize,
      tokens: state.tokens,
      lengths: state.lengths,
    }),
  ];
}

/**
 * Records the head after a prefill: logits of rows and the greedy token of each.
 *
 * @param arena Owns its buffers.
 * @param model The model.
 * @param at Rows of the residual stream, scratch, and where the results go.
 */
export function recordHead(
  arena: Arena,
  model: GpuModel,
  at: {
    readonly x: View;
    readonly y: View;
    readonly rows: number;
    readonly state: DecodeState;
  },
): Dispatch[] {
  const { x, y, rows, state } = at;
  return [
    ...linear(arena, {
      x,
      rows,
      weight: model.lmHead,
      out: state.logits,
      prologue: {
        kind: "norm",
        weight: model.finalNorm,
        eps: model.rmsNormEps,
      },
      scratch: y,
    }),
    ...argmax(arena, {
      logits: state.logits,
      rows,
      columns: model.vocabSize,
      tokens: state.tokens,
    }),
  ];
}

/** What decode attention leaves for the merge, as large as the largest layer needs. */
interface AttentionScratch {
  /** By layer. */
  readonly forms: readonly DecodeForm[];
  /** [B, H, splits, v of the cached values], f32 or f16 */
  readonly partial: GPUBuffer;
  /** f32 [B, H, splits, 2] */
  readonly stats: GPUBuffer;
  /** [B, H·(r+m)], by width. */
  readonly absorbed: (width: number) => View;
}

function attentionScratch(
  arena: Arena,
  model: GpuModel,
  cache: KvCache,
): AttentionScratch {
  const { batch } = cache;
  const forms = model.layers.map(({ form }, index) =>
    decodeForm(arena.gpu, { ...cache, ...decodeSizes(form, cache, index) })
  );
  let partial = 0;
  let stats = 0;
  for (const [index, { form }] of model.layers.entries()) {
    const rows = batch * form.heads * forms[index]!.splits;
    partial = Math.max(partial, rows * cachedValueWidth(form));
    stats = Math.max(stats, rows * 2);
  }
  const view = sharedRows(arena, batch);
  return {
    forms,
    partial: arena.buffer("attention partial", partial * 4),
    stats: arena.buffer("attention stats", stats * 4),
    absorbed: (width) => view("absorbed query", width),
  };
}

/** Heads' keys that differ: in latent attention all heads read the same row. */
function keyGroups({ kind, groups }: AttentionForm): number {
  return kind === "mla" ? 1 : groups;
}

function cachedValueWidth(form: AttentionForm): number {
  return form.kind === "mla" ? form.firstWidth : form.value;
}

/** What a layer's decode attention reads, and how wide. */
function decodeSizes(form: AttentionForm, { layers }: KvCache, index: number) {
  const { first, second = first } = layers[index]!;
  const { kind, heads, groups, nope, value } = form;
  const isMla = kind === "mla";
  return {
    kind,
    heads,
    keyGroups: keyGroups(form),
    valueGroups: isMla ? 1 : groups,
    first,
    second,
    firstWidth: kind === "gqa" ? nope : form.firstWidth,
    secondWidth: isMla ? form.rotary : 0,
    keyGroupStride: kind === "gqa" ? nope : 0,
    valueFrom: isMla ? "first" as const : "second" as const,
    valueWidth: cachedValueWidth(form),
    valueGroupStride: isMla ? 0 : value,
  };
}

interface LayerPlace {
  readonly cache: KvCache;
  readonly state: DecodeState;
  readonly rowSequence: GPUBuffer;
  readonly index: number;
  readonly scratch: Scratch;
  readonly attention: AttentionScratch;
  readonly keys: number | undefined;
}

function recordAttention(
  arena: Arena,
  model: GpuModel,
  layer: GpuLayer,
  { cache, state, rowSequence, index, scratch, attention, keys }: LayerPlace,
): Dispatch[] {
  const { form, latentUp: up } = layer;
  const { capacity, batch } = cache;
  const { first, second } = cache.layers[index]!;
  const isMla = form.kind === "mla";
  const stored = {
    x: scratch.projection,
    rows: batch,
    rowSequence,
    rowPosition: state.lengths,
    capacity,
    table: model.rotaryTable(layer.rotary, capacity),
    layout: layer.rotary.layout,
    query: form.query,
    first: { ...form.first, to: first },
    second: second === undefined ? form.second : { ...form.second, to: second },
  };
  const query = up === undefined
    ? scratch.projection
    : attention.absorbed(form.heads * (form.latentWidth + form.rotary));
  const dispatches = up === undefined
    ? rotateStore(arena, stored)
    : absorbStore(arena, {
      ...stored,
      keyUp: {
        buffer: up.parts[0]!.buffer,
        element: up.element,
        offset: 0,
        stride: up.stride,
      },
      groups: form.groups,
      rank: form.latentWidth,
      latentFirst: isMla,
      out: query,
    });
  const sizes = decodeSizes(form, cache, index);
  const decode = attention.forms[index]!;
  return [
    ...dispatches,
    ...attentionDecode(arena, {
      ...sizes,
      ...decode,
      query,
      capacity,
      lengths: state.lengths,
      batch,
      scale: form.scale,
      partial: attention.partial,
      stats: attention.stats,
      ...(keys === undefined ? {} : { keys }),
    }),
    ...attentionMerge(arena, {
      partial: attention.partial,
      stats: attention.stats,
      batch,
      heads: form.heads,
      splits: decode.splits,
      means: decode.matrix !== undefined,
      width: sizes.valueWidth,
      ...(isMla && up !== undefined
        ? {
          up: {
            weight: {
              buffer: up.parts[0]!.buffer,
              element: up.element,
              offset: 0,
              stride: up.stride,
            },
            groups: form.groups,
            firstRow: form.groups * form.nope,
            rowsPerGroup: form.value,
            value: form.value,
          },
        }
        : {}),
      out: scratch.heads,
    }),
  ];
}
