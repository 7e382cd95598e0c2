// What a graph is made from: the sizes of each layer, and its weights in the
// form that the graphs read. Only weights that need another order are copied.

import { type Tensor, tensor } from "../../base/tensor.ts";
import { ShapeError } from "../../base/errors.ts";
import type {
  Attention,
  DecoderLayer,
  Linear,
  MlaAttention,
  PartialRopeAttention,
  Rotary,
} from "../../model/decoder.ts";

/** Every head has its own rotated key: G key-value heads of d dims. */
export interface GroupedSizes {
  readonly kind: "grouped";
  /** H */
  readonly heads: number;
  /** G; query head h reads group floor(h G / H). */
  readonly groups: number;
  /** d */
  readonly headDim: number;
  readonly scale: number;
}

/** All heads share one rotary key of m dims; each group has its own n dims without position. */
export interface SharedRotarySizes {
  /** "merged": the cache holds the merged key and the values. "latent": the latent and the rotary part. */
  readonly kind: "merged" | "latent";
  readonly heads: number;
  readonly groups: number;
  /** m */
  readonly rotaryDim: number;
  /** n, as scored in the expanded form. */
  readonly nopeDim: number;
  /** v */
  readonly valueDim: number;
  /** Width of what the nope keys are expanded from: G·d - m, or the latent's r. */
  readonly sourceDim: number;
  readonly scale: number;
}

/** The sizes of one layer's attention. */
export type AttentionSizes = GroupedSizes | SharedRotarySizes;

/** One layer, ready for graphs. */
export interface PreparedLayer {
  readonly attention: AttentionSizes;
  readonly rotary: Rotary;
  readonly eps: number;
  /** By the names that graphs use; a bias is "<name>.bias". Some share memory under two shapes. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Equal for layers that the same graph can run. */
  readonly key: string;
}

/**
 * Brings a layer into the form that the graphs read.
 *
 * @param layer The layer.
 * @param eps RMSNorm's epsilon.
 * @throws {ShapeError} If a weight has another shape than the layer's sizes say.
 * @throws {RangeError} If the key-value heads do not divide the query heads.
 */
export function prepareLayer(layer: DecoderLayer, eps: number): PreparedLayer {
  const weights = new Map<string, Tensor>();
  weights.set("inputNorm", layer.inputNorm);
  const attention = prepareAttention(layer.attention, weights);
  setLinear(weights, "oProj", layer.attention.oProj);
  weights.set("postAttentionNorm", layer.postAttentionNorm);
  setLinear(weights, "gateProj", layer.mlp.gateProj);
  setLinear(weights, "upProj", layer.mlp.upProj);
  setLinear(weights, "downProj", layer.mlp.downProj);
  const rotary = layer.attention.rotary;
  const shapes = [...weights].map(([name, { shape }]) => `${name}[${shape}]`);
  const key = JSON.stringify([attention, rotary.layout, eps, ...shapes]);
  return { attention, rotary, eps, weights, key };
}

function prepareAttention(
  attention: Attention,
  weights: Map<string, Tensor>,
): AttentionSizes {
  const { numAttentionHeads, numKeyValueHeads } = attention;
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new RangeError(
      `Cannot prepare attention as numKeyValueHeads must divide numAttentionHeads (${numAttentionHeads}): current value is ${numKeyValueHeads}`,
    );
  }
  switch (attention.kind) {
    case "gqa": {
      const { headDim } = attention;
      checkRotary(attention.rotary, headDim);
      setLinear(weights, "qProj", attention.qProj, numAttentionHeads * headDim);
      setLinear(weights, "kProj", attention.kProj, numKeyValueHeads * headDim);
      setLinear(weights, "vProj", attention.vProj, numKeyValueHeads * headDim);
      return {
        kind: "grouped",
        heads: numAttentionHeads,
        groups: numKeyValueHeads,
        headDim,
        scale: attention.softmaxScale,
      };
    }
    case "partialRope":
      return prepareMerged(attention, weights);
    case "mla":
      return prepareLatent(attention, weights);
    default:
      return attention satisfies never;
  }
}

/** The shared rotary part of q~ and the original q lie side by side in one projection, per head [rotary m; nope d]. */
function prepareMerged(
  attention: PartialRopeAttention,
  weights: Map<string, Tensor>,
): SharedRotarySizes {
  const heads = attention.numAttentionHeads;
  const groups = attention.numKeyValueHeads;
  const m = attention.qkRopeHeadDim;
  const d = attention.headDim;
  const width = groups * d;
  checkRotary(attention.rotary, m);
  checkShape("keyBasis", attention.keyBasis, [width, width]);
  // Where everything rotates there is no part without position.
  const nopeDim = m < width ? d : 0;
  const project = (rows: Float32Array, columns: number) => {
    const result = new Float32Array(heads * (m + nopeDim) * columns);
    for (let h = 0; h < heads; h++) {
      const group = Math.floor(h * groups / heads);
      const start = h * (m + nopeDim) * columns;
      for (let i = 0; i < m; i++) {
        const row = start + i * columns;
        for (let j = 0; j < d; j++) {
          const factor = attention.keyBasis.data[i * width + group * d + j]!;
          const from = (h * d + j) * columns;
          for (let c = 0; c < columns; c++) {
            result[row + c]! += factor * rows[from + c]!;
          }
        }
      }
      if (nopeDim > 0) {
        const own = rows.subarray(h * d * columns, (h + 1) * d * columns);
        result.set(own, start + m * columns);
      }
    }
    return result;
  };
  setQuery(weights, attention.qProj, heads * d, heads * (m + nopeDim), project);
  setLinear(weights, "kProj", attention.kProj, width);
  setLinear(weights, "vProj", attention.vProj, width);
  if (nopeDim > 0) {
    const rows = attention.keyBasis.data.subarray(m * width);
    weights.set("keyBasis", tensor(rows, [width - m, groups, d]));
    weights.set("keyBasisRows", tensor(rows, [width - m, width]));
  }
  return {
    kind: "merged",
    heads,
    groups,
    rotaryDim: m,
    nopeDim,
    valueDim: d,
    sourceDim: width - m,
    scale: attention.softmaxScale,
  };
}

/** Query rows go from [nope n; rotary m] to [rotary m; nope n] per head; kvB is cut into its keys and values. */
function prepareLatent(
  attention: MlaAttention,
  weights: Map<string, Tensor>,
): SharedRotarySizes {
  const heads = attention.numAttentionHeads;
  const groups = attention.numKeyValueHeads;
  const m = attention.qkRopeHeadDim;
  const n = attention.qkNopeHeadDim;
  const v = attention.vHeadDim;
  const r = attention.kvLoraRank;
  checkRotary(attention.rotary, m);
  const reorder = (rows: Float32Array, columns: number) => {
    const result = new Float32Array(rows.length);
    for (let h = 0; h < heads; h++) {
      const start = h * (n + m) * columns;
      const end = start + (n + m) * columns;
      result.set(rows.subarray(start + n * columns, end), start);
      result.set(
        rows.subarray(start, start + n * columns),
        start + m * columns,
      );
    }
    return result;
  };
  const queryRows = heads * (n + m);
  setQuery(weights, attention.qProj, queryRows, queryRows, reorder);
  setRows(weights, "latentProj", attention.kvAProjWithMqa, 0, r, r + m);
  if (m > 0) {
    setRows(weights, "keyRotary", attention.kvAProjWithMqa, r, r + m, r + m);
  }
  checkShape("kvBProj", attention.kvBProj, [groups * (n + v), r]);
  const keyUp = new Float32Array(groups * n * r);
  const valueUp = new Float32Array(groups * v * r);
  for (let g = 0; g < groups; g++) {
    const start = g * (n + v) * r;
    const data = attention.kvBProj.data;
    keyUp.set(data.subarray(start, start + n * r), g * n * r);
    valueUp.set(data.subarray(start + n * r, start + (n + v) * r), g * v * r);
  }
  weights.set("keyUp", tensor(keyUp, [groups, n, r]));
  weights.set("valueUp", tensor(valueUp, [groups, v, r]));
  weights.set("keyUpRows", tensor(keyUp, [groups * n, r]));
  weights.set("valueUpRows", tensor(valueUp, [groups * v, r]));
  return {
    kind: "latent",
    heads,
    groups,
    rotaryDim: m,
    nopeDim: n,
    valueDim: v,
    sourceDim: r,
    scale: attention.softmaxScale,
  };
}

function setLinear(
  weights: Map<string, Tensor>,
  name: string,
  linear: Linear,
  rows = linear.weight.shape[0]!,
): void {
  checkShape(name, linear.weight, [rows, linear.weight.shape[1] ?? 0]);
  weights.set(name, linear.weight);
  if (linear.bias === undefined) return;
  checkShape(`${name}.bias`, linear.bias, [rows]);
  weights.set(`${name}.bias`, linear.bias);
}

/** Rows [start, end) of a projection as one of its own, without a copy. */
function setRows(
  weights: Map<string, Tensor>,
  name: string,
  linear: Linear,
  start: number,
  end: number,
  rows: number,
): void {
  const columns = linear.weight.shape[1] ?? 0;
  checkShape("kvAProjWithMqa", linear.weight, [rows, columns]);
  const data = linear.weight.data.subarray(start * columns, end * columns);
  weights.set(name, tensor(data, [end - start, columns]));
  if (linear.bias === undefined) return;
  checkShape("kvAProjWithMqa.bias", linear.bias, [rows]);
  const bias = linear.bias.data.subarray(start, end);
  weights.set(`${name}.bias`, tensor(bias, [end - start]));
}

/** The query projection and its bias (a matrix of one column) through `map`. */
function setQuery(
  weights: Map<string, Tensor>,
  linear: Linear,
  rows: number,
  mappedRows: number,
  map: (rows: Float32Array, columns: number) => Float32Array,
): void {
  const columns = linear.weight.shape[1] ?? 0;
  checkShape("qProj", linear.weight, [rows, columns]);
  const mapped = map(linear.weight.data, columns);
  weights.set("qProj", tensor(mapped, [mappedRows, columns]));
  if (linear.bias === undefined) return;
  checkShape("qProj.bias", linear.bias, [rows]);
  weights.set("qProj.bias", tensor(map(linear.bias.data, 1), [mappedRows]));
}

function checkShape(
  name: string,
  { shape }: Tensor,
  wanted: readonly number[],
): void {
  if (
    shape.length !== wanted.length ||
    shape.some((axis, i) => axis !== wanted[i])
  ) {
    throw new ShapeError(
      `Cannot prepare ${name} as its shape must be [${wanted}]: current value is [${shape}]`,
    );
  }
}

function checkRotary({ frequencies }: Rotary, width: number): void {
  if (frequencies.length * 2 !== width) {
    throw new ShapeError(
      `Cannot prepare rotary frequencies as there must be ${
        width / 2
      }: current value is ${frequencies.length}`,
    );
  }
}
