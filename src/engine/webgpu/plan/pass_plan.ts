// Many rows through all layers: scoring, prefill, calibration. Everything is
// recorded once for a layout; only the token ids change from run to run.

import type { Arena, Dispatch } from "../device/gpu.ts";
import {
  attentionPrefill,
  type AttentionPrefillArgs,
} from "../kernels/attention_prefill.ts";
import { matrixPrefillShape } from "../kernels/attention_prefill_matrix.ts";
import type { AttentionViews } from "../kernels/attention_views.ts";
import { embed } from "../kernels/embed.ts";
import { gatedSilu } from "../kernels/gated_silu.ts";
import { gemm } from "../kernels/gemm.ts";
import { gemmGates, gemmInput } from "../kernels/gemm_tuning.ts";
import type { View } from "../kernels/kernel.ts";
import { rmsNorm } from "../kernels/rms_norm.ts";
import { rotateStore } from "../kernels/rotate_store.ts";
import type { GpuModel } from "./gpu_model.ts";
import { fromSequence, type KvCache } from "./kv_cache.ts";
import type { AttentionForm, GpuLayer } from "./layer_weights.ts";
import type { GpuRowLayout } from "./row_layout.ts";
import { type Scratch, scratchOf, sharedRows } from "./scratch.ts";

/** One layer of a pass. */
export interface LayerWork {
  /** x normed to y, the attention input. */
  readonly input: readonly Dispatch[];
  readonly attention: readonly Dispatch[];
  readonly mlp: readonly Dispatch[];
  /** Valid after `attention` has run. */
  readonly attentionViews: AttentionViews;
}

/** A pass, recorded. */
export interface PassPlan {
  readonly layout: GpuRowLayout;
  /** Token ids, u32 [R]: written before each run. */
  readonly tokens: GPUBuffer;
  readonly embed: readonly Dispatch[];
  readonly layers: readonly LayerWork[];
  /** The residual stream, [R, D]; final after the last layer. */
  readonly x: View;
  /** The latest layer's normed input, [R, D]: halves where products read them fastest. */
  readonly y: View;
}

/** All dispatches of a pass, in order. */
export function passWork(pass: PassPlan): readonly Dispatch[] {
  return [
    ...pass.embed,
    ...pass.layers.flatMap(({ input, attention, mlp }) => [
      ...input,
      ...attention,
      ...mlp,
    ]),
  ];
}

/** Where a pass keeps and finds keys and values. */
export interface PassCache {
  readonly cache: KvCache;
  /** The cache's sequence that is the pass's sequence 0. */
  readonly firstSequence: number;
  /** f32 [R, H] for the log-sum-exp of each query's scores, where it is wanted. */
  readonly lse?: GPUBuffer;
  /** Leaves y in f32 for those who read it, whatever products like best. @default false */
  readonly exact?: boolean;
}

/**
 * Records a pass.
 *
 * @param arena Owns its buffers.
 * @param model The model.
 * @param layout How the rows lie.
 * @param place The cache.
 */
export function recordPass(
  arena: Arena,
  model: GpuModel,
  layout: GpuRowLayout,
  place: PassCache,
): PassPlan {
  const { rows } = layout;
  const element = place.exact ? "f32" : gemmInput(arena.gpu, model.element);
  const scratch = scratchOf(arena, model, rows, element);
  const expansion = expansionOf(arena, model, layout);
  const tokens = arena.buffer("tokens", rows * 4);
  const { x, y } = scratch(0);
  return {
    layout,
    tokens,
    embed: embed(arena, { table: model.embedTokens, tokens, out: x, rows }),
    layers: model.layers.map((layer, index) =>
      recordLayer(arena, model, layer, {
        layout,
        place,
        index,
        scratch: scratch(index),
        expanded: expansion(layer.form),
      })
    ),
    x,
    y,
  };
}

interface LayerPlace {
  readonly layout: GpuRowLayout;
  readonly place: PassCache;
  readonly index: number;
  readonly scratch: Scratch;
  /** Where keys, and MLA's values, made from cached rows go. */
  readonly expanded: View | undefined;
}

function recordLayer(
  arena: Arena,
  model: GpuModel,
  layer: GpuLayer,
  at: LayerPlace,
): LayerWork {
  const { layout: { rows }, scratch } = at;
  const { x, y, projection, heads, gateUp, gated } = scratch;
  const norm = (weight: GPUBuffer) =>
    rmsNorm(arena, {
      x,
      weight,
      out: y,
      rows,
      width: model.hiddenSize,
      eps: model.rmsNormEps,
    });
  const { dispatches, inputs } = recordAttention(arena, model, layer, at);
  const isGated = layer.gateUp.bias === undefined &&
    gemmGates(arena.gpu, layer.gateUp.weight);
  return {
    input: norm(layer.inputNorm),
    attention: [
      ...gemm(arena, { x: y, rows, ...layer.projection, out: projection }),
      ...dispatches,
      ...gemm(arena, {
        x: heads,
        rows,
        ...layer.oProj,
        out: x,
        accumulate: true,
      }),
    ],
    mlp: [
      ...norm(layer.postAttentionNorm),
      ...isGated
        ? gemm(arena, { x: y, rows, ...layer.gateUp, out: gated, gated: true })
        : [
          ...gemm(arena, { x: y, rows, ...layer.gateUp, out: gateUp }),
          ...gatedSilu(arena, {
            x: gateUp,
            out: gated,
            rows,
            width: layer.intermediateSize,
          }),
        ],
      ...gemm(arena, {
        x: gated,
        rows,
        ...layer.downProj,
        out: x,
        accumulate: true,
      }),
    ],
    attentionViews: inputs,
  };
}

function recordAttention(
  arena: Arena,
  model: GpuModel,
  layer: GpuLayer,
  { layout, place, index, scratch, expanded }: LayerPlace,
): { dispatches: Dispatch[]; inputs: AttentionViews } {
  const { form, latentUp: up } = layer;
  const { cache, firstSequence, lse } = place;
  const { capacity } = cache;
  const here = (view: View) => fromSequence(view, firstSequence, capacity);
  const cached = cache.layers[index]!;
  const first = here(cached.first);
  const second = cached.second === undefined ? undefined : here(cached.second);
  const table = model.rotaryTable(layer.rotary, layout.longest);
  const query = scratch.projection;
  const dispatches = rotateStore(arena, {
    x: query,
    rows: layout.rows,
    rowSequence: layout.rowSequence,
    rowPosition: layout.rowPosition,
    capacity,
    table,
    layout: layer.rotary.layout,
    query: form.query,
    first: { ...form.first, to: first },
    second: second === undefined ? form.second : { ...form.second, to: second },
  });
  if (up !== undefined && expanded !== undefined) {
    const latent = { ...first, offset: first.offset + form.latentStart };
    dispatches.push(...expand(arena, layout, latent, up, expanded, capacity));
  }
  const isMla = form.kind === "mla";
  const inputs: AttentionViews = {
    query,
    queryNope: form.queryNope,
    queryRotary: form.queryRotary,
    heads: form.heads,
    groups: form.groups,
    nope: form.nope,
    rotary: form.rotary,
    scale: form.scale,
    capacity,
    ...(expanded === undefined ? {} : { keyCapacity: layout.longest }),
    key: expanded ?? first,
    // A merged key that rotates as a whole is shared by all heads.
    keyGroupStride: form.kind === "partialRope" && expanded === undefined
      ? 0
      : form.nope,
    ...(form.rotary === 0 ? {} : { rotaryKey: isMla ? second! : first }),
  };
  const args: AttentionPrefillArgs = {
    ...inputs,
    value: form.value,
    values: isMla ? { ...expanded!, offset: form.groups * form.nope } : second!,
    valueGroupStride: form.value,
    ...(isMla ? { valueCapacity: layout.longest } : {}),
    tiles: layout.tiles,
    tileCount: layout.tileCount,
    tileRows: layout.tileRows,
    scores: layout.scores,
    out: scratch.heads,
    ...(lse === undefined ? {} : { lse }),
  };
  // Where products read halves, attention may as well.
  const matrix = scratch.heads.element === "f16"
    ? matrixPrefillShape(arena.gpu, args)
    : undefined;
  dispatches.push(
    ...attentionPrefill(
      arena,
      matrix === undefined ? args : { ...args, matrix },
    ),
  );
  return { dispatches, inputs };
}

/** Keys and values of the tokens that each sequence of the pass reaches, from its cached latents. */
function expand(
  arena: Arena,
  layout: GpuRowLayout,
  latent: View,
  up: NonNullable<GpuLayer["latentUp"]>,
  expanded: View,
  capacity: number,
): Dispatch[] {
  const rowsOf = ({ past, length }: { past: number; length: number }) =>
    past + length;
  // Sequences that fill their room lie without gaps: one product for all.
  if (layout.spans.every((span) => rowsOf(span) === capacity)) {
    const rows = layout.spans.length * capacity;
    return gemm(arena, { x: latent, rows, weight: up, out: expanded });
  }
  return layout.spans.flatMap((span, sequence) =>
    gemm(arena, {
      x: fromSequence(latent, sequence, capacity),
      rows: rowsOf(span),
      weight: up,
      out: fromSequence(expanded, sequence, layout.longest),
    })
  );
}

/** Buffers for expanded keys and values, shared by layers of equal width. */
function expansionOf(
  arena: Arena,
  model: GpuModel,
  layout: GpuRowLayout,
): (form: AttentionForm) => View | undefined {
  const rows = layout.spans.length * layout.longest;
  const view = sharedRows(arena, rows, model.cacheElement);
  return (form) => {
    const { kind, groups, nope, value, latentWidth } = form;
    if (kind === "gqa" || latentWidth === 0) return undefined;
    const width = groups * (nope + (kind === "mla" ? value : 0));
    return view("expanded", width);
  };
}
