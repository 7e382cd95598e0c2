// Decode attention to be tuned, with the merge of its splits: which form of it, its
// tile, and the splits.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { attentionDecode } from "../kernels/attention_decode.ts";
import { fitsTileDecode } from "../kernels/attention_decode_tile.ts";
import { matrixDecodeCandidates } from "../kernels/attention_matrix_tuning.ts";
import { attentionMerge } from "../kernels/attention_merge.ts";
import {
  type DecodeForm,
  decodeForm,
  type DecodeFormSize,
} from "../kernels/decode_form.ts";
import { type Element, ELEMENT_BYTES, type View } from "../kernels/kernel.ts";
import {
  tileDecodeCandidates,
  tileSplits,
} from "../kernels/tile_decode_tuning.ts";
import { attentionSplits } from "../kernels/tuning.ts";
import { attentionKey } from "../kernels/tuning_keys.ts";
import type { TunedShape } from "../kernels/tuning_table.ts";
import { formOfShape, shapeOfForm, tablesOfForm } from "./form_shapes.ts";
import {
  distinctShapes,
  emptyRows,
  type PreparedProblem,
  seededMatrix,
  seededRows,
  type TuningProblem,
} from "./tuning_problem.ts";

/** Decode attention of a batch. */
export interface DecodeSize {
  readonly heads: number;
  /** Groups of heads that share keys, or in latent space an up-projection. */
  readonly groups: number;
  /** d, columns of a head's value. */
  readonly value: number;
  /** Absent where keys and values are cached as they are. */
  readonly latent?: { readonly rank: number; readonly rotary: number };
  /** Of the cache. */
  readonly element: Element;
  readonly batch: number;
  readonly context: number;
}

/**
 * Attention and its merge.
 *
 * @param size The batch.
 * @param share What it is worth.
 */
export function attentionProblem(
  size: DecodeSize,
  share: number,
): TuningProblem {
  const { heads, groups, latent, element, batch, context } = size;
  const { kind, keyGroups, firstWidth, secondWidth, valueWidth } = widthsOf(
    size,
  );
  const keys = batch * context;
  const row = latent === undefined
    ? 2 * groups * size.value
    : latent.rank + latent.rotary;
  const inputBytes = keys * row * ELEMENT_BYTES[element];
  const key = attentionKey({
    kind,
    heads,
    groups: keyGroups,
    width: valueWidth,
    batch,
    context,
  });
  return {
    family: "attention",
    kernel: "attention_decode",
    key,
    kin: `${kind} attention of ${batch === 1 ? "one" : "several"}`,
    bytes: inputBytes,
    flops: 2 * keys * heads * (firstWidth + secondWidth + valueWidth),
    share,
    inputBytes,
    shapes: (gpu) => shapesOf(gpu, size),
    tables: latent === undefined
      ? ({ splits }) => ({ attention_decode_lanes: { splits: splits! } })
      : tablesOfForm,
    prepare: (arena) => prepareAttention(arena, size),
  };
}

/** The default, then every form that could be the fastest. */
function shapesOf(gpu: Gpu, size: DecodeSize): TunedShape[] {
  const formSize = formSizeOf(size);
  const { batch, context: capacity, heads, element } = size;
  const forms: DecodeForm[] = [decodeForm(gpu, formSize)];
  const matrices = size.latent === undefined ? [] : matrixDecodeCandidates(
    gpu,
    { ...formSize, elements: [element, element], batch, capacity },
  );
  forms.push(...matrices.map((matrix) => ({ splits: matrix.splits, matrix })));
  const tiles = matrices.length > 0
    ? []
    : tileDecodeCandidates(gpu).filter((tile) =>
      fitsTileDecode(gpu, formSize, tile)
    );
  for (const tile of tiles) {
    const best = tileSplits({ batch, heads, capacity }, tile);
    const several = splitsNear(best, [0.5, 1, 2], capacity);
    forms.push(...several.map((splits) => ({ splits, tile })));
  }
  // What lanes do by themselves, whatever the tables say of other forms. Beside
  // matrices they are there to be agreed with, and for short contexts.
  const lanes = splitsNear(
    attentionSplits(gpu, { ...formSize, groups: formSize.keyGroups }),
    matrices.length > 0 ? [0.5, 1] : [0.25, 0.5, 1, 2, 4],
    capacity,
  );
  forms.push(...lanes.map((splits) => ({ splits })));
  return distinctShapes(forms.map(shapeOfForm));
}

/** Keys of a split at least. */
const LEAST_KEYS = 16;

function splitsNear(
  splits: number,
  factors: readonly number[],
  capacity: number,
): number[] {
  const most = Math.ceil(capacity / LEAST_KEYS);
  const near = factors.map((factor) =>
    Math.min(most, Math.max(1, Math.round(splits * factor)))
  );
  return [...new Set(near)];
}

function widthsOf({ heads, groups, value, latent }: DecodeSize) {
  return latent === undefined
    ? {
      kind: "gqa" as const,
      heads,
      keyGroups: groups,
      valueGroups: groups,
      firstWidth: value,
      secondWidth: 0,
      keyGroupStride: value,
      valueFrom: "second" as const,
      valueWidth: value,
      valueGroupStride: value,
    }
    : {
      kind: "mla" as const,
      heads,
      keyGroups: 1,
      valueGroups: 1,
      firstWidth: latent.rank,
      secondWidth: latent.rotary,
      keyGroupStride: 0,
      valueFrom: "first" as const,
      valueWidth: latent.rank,
      valueGroupStride: 0,
    };
}

/** Columns of both parts of a cached row. */
function columnsOf({ groups, value, latent }: DecodeSize): [number, number] {
  return latent === undefined
    ? [groups * value, groups * value]
    : [latent.rank, latent.rotary];
}

function formSizeOf(
  size: DecodeSize,
): DecodeFormSize & { secondWidth: number } {
  const { batch, context: capacity, element } = size;
  const [first, second] = columnsOf(size);
  // The choice depends on how rows lie, not on what is in them.
  const view = (stride: number): View => ({
    buffer: undefined as unknown as GPUBuffer,
    element,
    offset: 0,
    stride,
  });
  return {
    ...widthsOf(size),
    batch,
    capacity,
    first: view(first),
    second: view(second),
  };
}

function prepareAttention(arena: Arena, size: DecodeSize): PreparedProblem {
  const { heads, groups, value, latent, element, batch, context } = size;
  const widths = widthsOf(size);
  const rows = batch * context;
  const [firstColumns, secondColumns] = columnsOf(size);
  const queryWidth = heads * (widths.firstWidth + widths.secondWidth);
  const query = seededRows(arena, batch, queryWidth, "f32", 1, 1);
  const first = seededRows(arena, rows, firstColumns, element, 1, 2);
  const second = seededRows(arena, rows, secondColumns, element, 1, 3);
  const up = latent &&
    seededMatrix(arena, groups * value, latent.rank, element);
  const out = emptyRows(arena, batch, heads * value, "f32");
  const lengths = new Uint32Array(batch).fill(context - 1);
  const common = {
    ...widths,
    query,
    first,
    second,
    capacity: context,
    lengths: arena.upload("lengths", lengths),
    batch,
    scale: 1 / Math.sqrt(widths.firstWidth + widths.secondWidth),
    keys: rows,
  };
  return {
    outputs: [out],
    dispatches(arena, shape): Dispatch[] {
      const form = formOfShape(shape);
      const { splits } = form;
      const parts = batch * heads * splits;
      const partial = arena.buffer("partial", 4 * parts * widths.valueWidth);
      const stats = arena.buffer("stats", 8 * parts);
      return [
        ...attentionDecode(arena, { ...common, ...form, partial, stats }),
        ...attentionMerge(arena, {
          partial,
          stats,
          batch,
          heads,
          splits,
          width: widths.valueWidth,
          means: form.matrix !== undefined,
          ...(up && {
            up: {
              weight: {
                buffer: up.parts[0]!.buffer,
                element,
                offset: 0,
                stride: up.stride,
              },
              groups,
              firstRow: 0,
              rowsPerGroup: value,
              value,
            },
          }),
          out,
        }),
      ];
    },
  };
}
