// What the merge of decode attention reads ahead of the output projection, to be
// tuned: with that projection, whose time it is to save.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { attentionMerge } from "../kernels/attention_merge.ts";
import { decodeForm } from "../kernels/decode_form.ts";
import { gemv, gemvSquares } from "../kernels/gemv.ts";
import { type Element, ELEMENT_BYTES } from "../kernels/kernel.ts";
import {
  readAheadCandidates,
  type ReadAheadShape,
  readAheadSink,
} from "../kernels/read_ahead.ts";
import { mergeKey } from "../kernels/tuning_keys.ts";
import { type DecodeSize, formSizeOf, widthsOf } from "./attention_problems.ts";
import {
  distinctShapes,
  emptyRows,
  type PreparedProblem,
  seededMatrix,
  seededRows,
  type TuningProblem,
} from "./tuning_problem.ts";

/** A merge, and the output projection after it. */
export interface MergeProblemSize extends DecodeSize {
  /** Rows of the output projection, D. */
  readonly hiddenSize: number;
}

/**
 * A merge and the output projection.
 *
 * @param size The batch.
 * @param share What it is worth.
 */
export function mergeProblem(
  size: MergeProblemSize,
  share: number,
): TuningProblem {
  const { heads, groups, value, latent, element, batch, hiddenSize } = size;
  const { kind, valueWidth } = widthsOf(size);
  const projection = hiddenSize * heads * value * ELEMENT_BYTES[element];
  const up = latent === undefined
    ? 0
    : groups * value * latent.rank * ELEMENT_BYTES[element];
  return {
    family: "ahead",
    kernel: "read_ahead",
    key: mergeKey({ kind, heads, width: valueWidth, batch }),
    kin: `${kind} merge of ${batch}`,
    bytes: projection + up,
    flops: 2 * batch * (projection + up) / ELEMENT_BYTES[element],
    share,
    inputBytes: projection + up,
    shapes: () => distinctShapes(readAheadCandidates(projection)),
    tables: (shape) => ({ read_ahead: shape }),
    prepare: (arena) => prepareMerge(arena, size),
  };
}

function prepareMerge(arena: Arena, size: MergeProblemSize): PreparedProblem {
  const { heads, groups, value, latent, element, batch, hiddenSize } = size;
  const { valueWidth: width } = widthsOf(size);
  const { splits, means } = partsOf(arena.gpu, size);
  const parts = batch * heads * splits;
  const partElement: Element = means ? "f16" : "f32";
  const partial = seededRows(arena, parts, width, partElement, 1, 1).buffer;
  // Of each part a maximum of 0 and a sum of 1.
  const stats = arena.upload(
    "stats",
    Float32Array.from({ length: 2 * parts }, (_, i) => i % 2),
  );
  const up = latent &&
    seededMatrix(arena, groups * value, latent.rank, element);
  const weight = seededMatrix(arena, hiddenSize, heads * value, element);
  const merged = emptyRows(arena, batch, heads * value, element);
  const out = emptyRows(arena, batch, hiddenSize, "f32");
  const y = emptyRows(arena, batch, hiddenSize, element);
  const norm = seededRows(arena, 1, hiddenSize, "f32", 1, 3).buffer;
  return {
    // The residual stream adds up from run to run, what the merge leaves does not.
    outputs: [merged],
    dispatches(arena, shape): Dispatch[] {
      const { bytes } = shape as unknown as ReadAheadShape;
      return [
        ...attentionMerge(arena, {
          partial,
          stats,
          batch,
          heads,
          splits,
          width,
          means,
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
          out: merged,
          ahead: { weight, bytes, sink: readAheadSink(arena) },
        }),
        ...gemv(arena, {
          x: merged,
          rows: batch,
          weight,
          out,
          epilogue: {
            kind: "residual",
            next: {
              weight: norm,
              y,
              squares: gemvSquares(arena, { rows: batch, weight }),
            },
          },
        }),
      ];
    },
  };
}

function partsOf(gpu: Gpu, size: MergeProblemSize) {
  const { splits, matrix } = decodeForm(gpu, formSizeOf(size));
  return { splits, means: matrix !== undefined };
}
