// Cases of causal attention by subgroup matrices.

import type { Arena, Dispatch } from "../../device/gpu.ts";
import {
  attentionPrefill,
  type AttentionPrefillArgs,
} from "../attention_prefill.ts";
import {
  fitsMatrixPrefill,
  MATRIX_PREFILL_SHAPES,
  type MatrixPrefillShape,
} from "../attention_prefill_matrix.ts";
import { type Element, padded } from "../kernel.ts";
import {
  attentionProblem,
  type AttentionShape,
  softmax,
  tileTable,
} from "./attention_problem.ts";
import { zeroRows } from "./case_rows.ts";
import type {
  CaseRandom,
  KernelCase,
  KernelEntry,
  PreparedCase,
} from "./kernel_case.ts";

/** Sizes of a case. */
export interface MatrixPrefillCase
  extends Omit<AttentionShape, "elements" | "halfQueries"> {
  readonly shape: MatrixPrefillShape;
  /** @default "f16" */
  readonly outElement?: Element;
}

/** Makes the dispatch under test. */
export type Prefill = (
  arena: Arena,
  args: AttentionPrefillArgs,
) => readonly Dispatch[];

/**
 * A case of random numbers.
 *
 * @param sizes Sizes.
 * @param prefill Makes the dispatch under test; its device's features are then up to the caller. @default attentionPrefill
 */
export function matrixPrefillCase(
  sizes: MatrixPrefillCase,
  prefill?: Prefill,
): KernelCase {
  const { heads, groups, nope, rotary, value, sequences, spread } = sizes;
  const words = [
    `H ${heads} G ${groups} n ${nope} m ${rotary} v ${value}`,
    describeShape(sizes.shape),
    sequences.map(({ past, rows }) => `${past} + ${rows}`).join(" and "),
    ...(spread === undefined ? [] : [`spread ${spread}`]),
    ...(sizes.outElement === "f32" ? ["out f32"] : []),
  ];
  return {
    label: words.join(", "),
    needs: prefill === undefined
      ? ["f16", "subgroups", "subgroupMatrix"]
      : ["f16"],
    ...(prefill === undefined
      ? { fits: (gpu) => fitsMatrixPrefill(gpu, sizes, sizes.shape) }
      : {}),
    prepare: (arena, random) =>
      prepare(sizes, arena, random, prefill ?? attentionPrefill),
  };
}

/** A shape in words. */
export function describeShape(
  { subgroups, rowBlocks, keys }: MatrixPrefillShape,
): string {
  return `${subgroups} x ${16 * rowBlocks} rows x ${keys} keys`;
}

function prepare(
  sizes: MatrixPrefillCase,
  arena: Arena,
  random: CaseRandom,
  prefill: Prefill,
): PreparedCase {
  const { heads, value, tileRows, shape, outElement = "f16" } = sizes;
  const problem = attentionProblem(arena, random, {
    ...sizes,
    elements: ["f16", "f16", "f16"],
    halfQueries: true,
  });
  const count = problem.rows.length;
  const width = heads * value;
  const stride = padded(width) + 4;
  const out = zeroRows(arena, {
    rows: count,
    width,
    offset: 4,
    stride,
    element: outElement,
  });
  const expected = new Float64Array(out.offset + count * stride).fill(NaN);
  for (let i = 0; i < count; i++) {
    for (let h = 0; h < heads; h++) {
      const { weights } = softmax(problem.scores(i, h));
      const at = out.offset + i * stride + h * value;
      for (let c = 0; c < value; c++) {
        expected[at + c] = weights.reduce(
          (sum, p, j) => sum + p * problem.valueAt(i, h, j, c),
          0,
        );
      }
    }
  }
  const dispatches = prefill(arena, {
    ...problem.views,
    value,
    values: problem.values.view,
    valueGroupStride: problem.valueGroupStride,
    tiles: problem.tiles,
    tileCount: problem.tileCount,
    tileRows,
    out,
    matrix: shape,
  });
  // Weights and means are halves, of 11 bits.
  return {
    dispatches,
    outputs: [{
      name: "out",
      buffer: out.buffer,
      element: outElement,
      expected,
      atol: 1e-3,
      rtol: 1e-3,
    }],
  };
}

// Rows that end within a tile, that begin within one, and that are many tiles.
const SEQUENCES = [
  { past: 0, rows: 150 },
  { past: 37, rows: 70 },
  { past: 0, rows: 1 },
];

const WIDTHS: readonly (readonly [
  nope: number,
  rotary: number,
  value: number,
])[] = [[64, 0, 64], [128, 0, 128], [64, 64, 64], [128, 64, 128], [96, 0, 96]];

const PARITY = MATRIX_PREFILL_SHAPES.flatMap((shape): MatrixPrefillCase[] => [
  ...WIDTHS.map(([nope, rotary, value]): MatrixPrefillCase => ({
    sequences: SEQUENCES,
    heads: 3,
    groups: rotary > 0 ? 3 : 1,
    nope,
    rotary,
    value,
    tileRows: 128,
    gap: 8,
    shape,
  })),
  // Sums are scaled again and again.
  {
    sequences: [{ past: 300, rows: 40 }, { past: 0, rows: 60 }],
    heads: 4,
    groups: 2,
    nope: 64,
    rotary: 0,
    value: 64,
    tileRows: 64,
    spread: 12,
    shape,
    outElement: "f32",
  },
]);

interface BenchSizes {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly groups: number;
  readonly nope: number;
  readonly rotary: number;
  readonly value: number;
}

function benchCase(
  sizes: BenchSizes,
  shape: MatrixPrefillShape,
): KernelCase {
  const { batch, tokens, heads, groups, nope, rotary, value } = sizes;
  const widths = `${heads}/${groups} heads, ${nope} + ${rotary} and ${value}`;
  return {
    label: `${batch} x ${tokens}, ${widths}, candidate ${describeShape(shape)}`,
    needs: ["f16", "subgroups", "subgroupMatrix"],
    fits: (gpu) => fitsMatrixPrefill(gpu, sizes, shape),
    prepare(arena) {
      const rows = batch * tokens;
      const element = "f16" as const;
      const tileRows = 128;
      const tiles = tileTable(
        Array.from({ length: batch }, () => ({ past: 0, rows: tokens })),
        tileRows,
      );
      return {
        dispatches: attentionPrefill(arena, {
          query: zeroRows(arena, { rows, width: heads * (nope + rotary) }),
          queryNope: 0,
          queryRotary: nope,
          heads,
          groups,
          nope,
          rotary,
          scale: 0.125,
          key: zeroRows(arena, { rows, width: groups * nope, element }),
          keyGroupStride: nope,
          ...(rotary > 0
            ? { rotaryKey: zeroRows(arena, { rows, width: rotary, element }) }
            : {}),
          capacity: tokens,
          value,
          values: zeroRows(arena, { rows, width: groups * value, element }),
          valueGroupStride: value,
          tiles: arena.upload("tiles", tiles),
          tileCount: tiles.length / 4,
          tileRows,
          out: zeroRows(arena, { rows, width: heads * value, element }),
          scores: batch * tokens * (tokens + 1) / 2,
          matrix: shape,
        }),
        outputs: [],
      };
    },
  };
}

const SMOLLM = { heads: 9, groups: 3, nope: 64, rotary: 0, value: 64 };
const LLAMA = { heads: 32, groups: 32, nope: 128, rotary: 0, value: 128 };

const BENCH: readonly BenchSizes[] = [
  { ...SMOLLM, batch: 4, tokens: 2048 },
  { ...LLAMA, batch: 1, tokens: 2048 },
  { ...SMOLLM, groups: 9, rotary: 64, batch: 4, tokens: 2048 },
  { ...LLAMA, rotary: 64, batch: 1, tokens: 2048 },
];

/** Causal attention by subgroup matrices in the table. */
export const attentionPrefillMatrixEntry: KernelEntry = {
  name: "attention_prefill_matrix",
  parity: PARITY.map((sizes) => matrixPrefillCase(sizes)),
  bench: BENCH.flatMap((sizes) =>
    MATRIX_PREFILL_SHAPES.map((shape) => benchCase(sizes, shape))
  ),
};
