// Each attention kind brought to one form that the kernels run: a stacked
// projection, what of it rotates, what the cache keeps, and how cached rows
// become keys and values.
//
// Letters as in decoder.ts; n and m here are the dims of a head's query without
// and with position.

import { tensor } from "../../../base/tensor.ts";
import {
  type Attention,
  cacheWidths,
  type DecoderLayer,
  type Linear,
  type MlaAttention,
  type PartialRopeAttention,
  type Rotary,
} from "../../../model/decoder.ts";
import type { Arena } from "../device/gpu.ts";
import {
  type Element,
  ELEMENT_BYTES,
  type GpuMatrix,
  padded,
} from "../kernels/kernel.ts";
import {
  type GpuLinear,
  rowBlockOf,
  type Rows,
  rowsOf,
  uploadLinear,
  uploadMatrix,
} from "./matrix_upload.ts";
import { checkBinding } from "./scratch.ts";

/** Columns of the projection's output: heads of equal width, a part of which rotates. */
export interface Columns {
  readonly start: number;
  readonly heads: number;
  readonly width: number;
  readonly rotaryStart: number;
  readonly rotaryWidth: number;
}

/** The sizes of one layer's attention, whatever its kind. */
export interface AttentionForm {
  readonly kind: Attention["kind"];
  /** H */
  readonly heads: number;
  /** G: distinct keys without position, and distinct values. */
  readonly groups: number;
  /** Where the n dims without a shared rotary key start in a head's query. */
  readonly queryNope: number;
  /** Where the m dims that meet the shared rotary key start. */
  readonly queryRotary: number;
  /** n; all of d in GQA, whose keys rotate before they are cached. */
  readonly nope: number;
  /** m; 0 where no rotary key is shared. */
  readonly rotary: number;
  /** v */
  readonly value: number;
  readonly scale: number;
  /** Columns of the projection. */
  readonly query: Columns;
  readonly first: Columns;
  readonly second: Columns;
  /** Numbers a token that the cache's parts hold. */
  readonly firstWidth: number;
  readonly secondWidth: number;
  /** Where the latent starts in `first`, and its width r: what `up` multiplies. */
  readonly latentStart: number;
  readonly latentWidth: number;
}

/** One layer on the device. */
export interface GpuLayer {
  readonly form: AttentionForm;
  readonly rotary: Rotary;
  /** Output columns of all projections of the input. */
  readonly projectionWidth: number;
  readonly inputNorm: GPUBuffer;
  readonly projection: GpuLinear;
  /** [G·n (+ G·v), r]: keys, then values, of all groups from the latent; in one buffer. */
  readonly latentUp?: GpuMatrix;
  readonly oProj: GpuLinear;
  readonly postAttentionNorm: GPUBuffer;
  /** gate and up stacked, [2I, D]. */
  readonly gateUp: GpuLinear;
  readonly intermediateSize: number;
  readonly downProj: GpuLinear;
}

/**
 * Uploads a layer; its shapes must have been checked.
 *
 * @param arena Owns the buffers.
 * @param layer The layer.
 * @param index Its number, for labels and errors.
 * @param element How weights are stored.
 * @throws {RangeError} If the key-value heads do not divide the query heads.
 */
export function uploadLayer(
  arena: Arena,
  layer: DecoderLayer,
  index: number,
  element: Element,
): GpuLayer {
  const { attention, mlp } = layer;
  const H = attention.numAttentionHeads;
  const G = attention.numKeyValueHeads;
  if (H % G !== 0) {
    throw new RangeError(
      `Cannot upload layer ${index} as numKeyValueHeads must divide numAttentionHeads (${H}): current value is ${G}`,
    );
  }
  const label = (name: string) => `layer ${index} ${name}`;
  const { form, projections, up } = formOf(attention);
  return {
    form,
    rotary: attention.rotary,
    projectionWidth: form.second.start + form.secondWidth,
    inputNorm: arena.upload(label("inputNorm"), layer.inputNorm.data),
    projection: uploadLinear(arena, label("qkvProj"), projections, element),
    ...(up === undefined
      ? {}
      : { latentUp: uploadWhole(arena, label("kvBProj"), up, element) }),
    oProj: uploadLinear(arena, label("oProj"), [attention.oProj], element),
    postAttentionNorm: arena.upload(
      label("postAttentionNorm"),
      layer.postAttentionNorm.data,
    ),
    gateUp: uploadLinear(
      arena,
      label("gateUpProj"),
      [mlp.gateProj, mlp.upProj],
      element,
    ),
    intermediateSize: mlp.gateProj.weight.shape[0]!,
    downProj: uploadLinear(arena, label("downProj"), [mlp.downProj], element),
  };
}

/** A matrix that kernels read as rows of one buffer. */
function uploadWhole(
  arena: Arena,
  label: string,
  blocks: readonly Rows[],
  element: Element,
): GpuMatrix {
  const rows = blocks.reduce((sum, block) => sum + block.rows, 0);
  const stride = padded(blocks[0]!.columns);
  checkBinding(arena, label, rows * stride * ELEMENT_BYTES[element]);
  return uploadMatrix(arena, label, blocks, element);
}

interface Prepared {
  readonly form: AttentionForm;
  /** Stacked: queries, what `first` caches, what `second` caches. */
  readonly projections: readonly Linear[];
  readonly up?: readonly Rows[];
}

function formOf(attention: Attention): Prepared {
  switch (attention.kind) {
    case "gqa": {
      const { numAttentionHeads: H, numKeyValueHeads: G, headDim: d } =
        attention;
      const kv = { width: d, rotaryStart: 0, rotaryWidth: d };
      return {
        form: {
          ...commonForm(attention, H * d),
          queryNope: 0,
          queryRotary: 0,
          nope: d,
          rotary: 0,
          query: { start: 0, heads: H, ...kv },
          first: { start: H * d, heads: G, ...kv },
          latentStart: 0,
          latentWidth: 0,
        },
        projections: [attention.qProj, attention.kProj, attention.vProj],
      };
    }
    case "partialRope":
      return partialRopeForm(attention);
    case "mla":
      return mlaForm(attention);
    default:
      return attention satisfies never;
  }
}

/**
 * The shared rotary part of q~ and the original q lie side by side, per head
 * [rotary m; nope d]: q~'s other dims need not be made, since their product with
 * the merged key is q's with that key taken back through the basis.
 */
function partialRopeForm(attention: PartialRopeAttention): Prepared {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: d } = attention;
  const m = attention.qkRopeHeadDim;
  const merged = G * d;
  // Where all dims rotate, the rotary part is the whole query and the merged
  // key is every head's key.
  const full = m === merged;
  const width = full ? m : m + d;
  const basis = attention.keyBasis.data;
  const project = (rows: Float32Array, columns: number) => {
    const result = new Float32Array(H * width * columns);
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h * G / H);
      for (let i = 0; i < m; i++) {
        const row = (h * width + i) * columns;
        for (let j = 0; j < d; j++) {
          const factor = basis[i * merged + g * d + j]!;
          const from = (h * d + j) * columns;
          for (let c = 0; c < columns; c++) {
            result[row + c]! += factor * rows[from + c]!;
          }
        }
      }
      if (!full) {
        const own = rows.subarray(h * d * columns, (h + 1) * d * columns);
        result.set(own, (h * width + m) * columns);
      }
    }
    return result;
  };
  const { weight, bias } = attention.qProj;
  const D = weight.shape[1]!;
  const rest = merged - m;
  const up = new Float32Array(merged * rest);
  for (let i = 0; i < rest; i++) {
    for (let j = 0; j < merged; j++) {
      up[j * rest + i] = basis[(m + i) * merged + j]!;
    }
  }
  const rotaryPart = { width: merged, rotaryStart: 0, rotaryWidth: m };
  return {
    form: {
      ...commonForm(attention, H * width),
      queryNope: full ? 0 : m,
      queryRotary: 0,
      nope: full ? merged : d,
      rotary: full ? 0 : m,
      query: { start: 0, heads: H, width, rotaryStart: 0, rotaryWidth: m },
      first: { start: H * width, heads: 1, ...rotaryPart },
      latentStart: m,
      latentWidth: rest,
    },
    projections: [
      {
        weight: tensor(project(weight.data, D), [H * width, D]),
        ...(bias === undefined
          ? {}
          : { bias: tensor(project(bias.data, 1), [H * width]) }),
      },
      attention.kProj,
      attention.vProj,
    ],
    ...(full ? {} : { up: [rowsOf(tensor(up, [merged, rest]))] }),
  };
}

function mlaForm(attention: MlaAttention): Prepared {
  const { numAttentionHeads: H, numKeyValueHeads: G } = attention;
  const n = attention.qkNopeHeadDim;
  const m = attention.qkRopeHeadDim;
  const v = attention.vHeadDim;
  const r = attention.kvLoraRank;
  const block = (g: number, from: number, rows: number): Rows =>
    rowBlockOf(attention.kvBProj, g * (n + v) + from, rows);
  const groups = Array.from({ length: G }, (_, g) => g);
  return {
    form: {
      ...commonForm(attention, H * (n + m)),
      queryNope: 0,
      queryRotary: n,
      nope: n,
      rotary: m,
      query: {
        start: 0,
        heads: H,
        width: n + m,
        rotaryStart: n,
        rotaryWidth: m,
      },
      first: {
        start: H * (n + m),
        heads: 1,
        width: r,
        rotaryStart: 0,
        rotaryWidth: 0,
      },
      second: {
        start: H * (n + m) + r,
        heads: 1,
        width: m,
        rotaryStart: 0,
        rotaryWidth: m,
      },
      latentStart: 0,
      latentWidth: r,
    },
    projections: [attention.qProj, attention.kvAProjWithMqa],
    up: [
      ...groups.map((g) => block(g, 0, n)),
      ...groups.map((g) => block(g, n, v)),
    ],
  };
}

/** What does not depend on the kind, and the values' columns of GQA and partial RoPE. */
function commonForm(attention: Attention, queryColumns: number) {
  const { first, second } = cacheWidths(attention);
  return {
    kind: attention.kind,
    heads: attention.numAttentionHeads,
    groups: attention.numKeyValueHeads,
    value: attention.kind === "mla" ? attention.vHeadDim : attention.headDim,
    scale: attention.softmaxScale,
    firstWidth: first,
    secondWidth: second,
    second: {
      start: queryColumns + first,
      heads: 1,
      width: second,
      rotaryStart: 0,
      rotaryWidth: 0,
    },
  };
}
