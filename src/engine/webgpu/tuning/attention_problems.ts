// Decode attention in latent space, to be tuned with the merge of its splits.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { attentionDecode } from "../kernels/attention_decode.ts";
import type { MatrixDecodeShape } from "../kernels/attention_matrix_layout.ts";
import {
  matrixDecodeCandidates,
  matrixDecodeShape,
} from "../kernels/attention_matrix_tuning.ts";
import { attentionMerge } from "../kernels/attention_merge.ts";
import { type Element, ELEMENT_BYTES } from "../kernels/kernel.ts";
import { attentionKey } from "../kernels/tuning_keys.ts";
import {
  distinctShapes,
  emptyRows,
  type PreparedProblem,
  seededMatrix,
  seededRows,
  type TuningProblem,
} from "./tuning_problem.ts";

/** Decode attention of a batch in latent space. */
export interface LatentSize {
  readonly heads: number;
  /** Groups of heads that share an up-projection. */
  readonly groups: number;
  /** Columns of a head's value. */
  readonly value: number;
  /** r and m. */
  readonly rank: number;
  readonly rotary: number;
  /** Of the cache. */
  readonly element: Element;
  readonly batch: number;
  readonly context: number;
}

/**
 * Attention by subgroup matrices and its merge.
 *
 * @param size The batch.
 * @param share What it is worth.
 */
export function latentProblem(
  size: LatentSize,
  share: number,
): TuningProblem {
  const { heads, rank, rotary, element, batch, context } = size;
  const keys = batch * context;
  const inputBytes = keys * (rank + rotary) * ELEMENT_BYTES[element];
  return {
    family: "attention",
    kernel: "attention_decode_matrix",
    key: attentionKey({ kind: "mla", batch, context }),
    bytes: inputBytes,
    flops: 2 * keys * heads * (2 * rank + rotary),
    share,
    inputBytes,
    shapes: (gpu) => matrixShapes(gpu, size),
    prepare: (arena) => prepareLatent(arena, size),
  };
}

function matrixShapes(gpu: Gpu, size: LatentSize) {
  const matrixSize = {
    ...widthsOf(size),
    elements: [size.element, size.element],
    batch: size.batch,
    capacity: size.context,
  };
  const best = matrixDecodeShape(gpu, matrixSize);
  return best === undefined
    ? []
    : distinctShapes([best, ...matrixDecodeCandidates(gpu, matrixSize)]);
}

function widthsOf({ heads, rank, rotary }: LatentSize) {
  return {
    heads,
    keyGroups: 1,
    valueGroups: 1,
    firstWidth: rank,
    secondWidth: rotary,
    valueFrom: "first" as const,
    valueWidth: rank,
  };
}

function prepareLatent(arena: Arena, size: LatentSize): PreparedProblem {
  const { heads, groups, value, rank, rotary, element, batch, context } = size;
  const rows = batch * context;
  const query = seededRows(
    arena,
    batch,
    heads * (rank + rotary),
    "f32",
    1,
    1,
  );
  const first = seededRows(arena, rows, rank, element, 1, 2);
  const second = seededRows(arena, rows, rotary, element, 1, 3);
  const up = seededMatrix(arena, groups * value, rank, element);
  const out = emptyRows(arena, batch, heads * value, "f32");
  const lengths = new Uint32Array(batch).fill(context - 1);
  const lengthsBuffer = arena.upload("lengths", lengths);
  const common = {
    ...widthsOf(size),
    query,
    first,
    second,
    keyGroupStride: 0,
    valueGroupStride: 0,
    capacity: context,
    lengths: lengthsBuffer,
    batch,
    scale: 1 / Math.sqrt(rank + rotary),
    keys: rows,
  };
  return {
    outputs: [out],
    dispatches(arena, shape): Dispatch[] {
      const matrix = shape as unknown as MatrixDecodeShape;
      const { splits } = matrix;
      const parts = batch * heads * splits;
      const partial = arena.buffer("partial", 2 * parts * rank);
      const stats = arena.buffer("stats", 8 * parts);
      return [
        ...attentionDecode(arena, {
          ...common,
          splits,
          partial,
          stats,
          matrix,
        }),
        ...attentionMerge(arena, {
          partial,
          stats,
          batch,
          heads,
          splits,
          width: rank,
          means: true,
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
          out,
        }),
      ];
    },
  };
}
