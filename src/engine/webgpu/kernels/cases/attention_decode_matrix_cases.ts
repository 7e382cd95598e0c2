// Cases of decode attention by subgroup matrices: the means of each share, and what
// is left of their maxima and sums when they are merged.

import type { Arena, Dispatch } from "../../device/gpu.ts";
import {
  attentionDecode,
  type AttentionDecodeArgs,
} from "../attention_decode.ts";
import {
  fitsMatrixDecode,
  type MatrixDecodeShape,
  type MatrixDecodeSizes,
} from "../attention_matrix_layout.ts";
import type { MatrixDesign } from "../attention_matrix_tuning.ts";
import { attentionMerge } from "../attention_merge.ts";
import { padded } from "../kernel.ts";
import { ATTENTION_DECODE_MATRIX_BENCH } from "./attention_decode_matrix_bench_cases.ts";
import { type CaseRows, caseRows, zeroRows } from "./case_rows.ts";
import type {
  CaseRandom,
  KernelCase,
  KernelEntry,
  PreparedCase,
} from "./kernel_case.ts";

/** Heads, widths and lengths of a case. */
export interface MatrixDecodeCase {
  readonly heads: number;
  readonly rank: number;
  readonly rotary: number;
  /** Tokens in the cache before the step. */
  readonly lengths: readonly number[];
  readonly splits: number;
  readonly design: MatrixDesign;
  /** Standard deviation of the scores. @default 1 */
  readonly spread?: number;
}

/** Makes the dispatch under test. */
export type Decode = (
  arena: Arena,
  args: AttentionDecodeArgs,
) => readonly Dispatch[];

/** Heads and widths as the layout takes them. */
export function latentSizes(
  heads: number,
  rank: number,
  rotary: number,
): MatrixDecodeSizes & {
  readonly keyGroupStride: 0;
  readonly valueGroupStride: 0;
} {
  return {
    heads,
    keyGroups: 1,
    valueGroups: 1,
    firstWidth: rank,
    secondWidth: rotary,
    keyGroupStride: 0,
    valueFrom: "first",
    valueWidth: rank,
    valueGroupStride: 0,
  };
}

/** A design in words. */
export function describeDesign(
  { tokens, buffers, rowBlocks, skips, chunk, valueBlocks = 1 }: MatrixDesign,
): string {
  if (chunk !== undefined) {
    return `chunks of ${chunk} columns, values of ${valueBlocks} workgroups`;
  }
  const ahead = buffers === 2 ? ` ahead${skips ? " by branch" : ""}` : "";
  return `${tokens} tokens${ahead} x ${16 * rowBlocks} heads`;
}

/**
 * A case of random numbers.
 *
 * @param shape Sizes.
 * @param decode Makes the dispatch under test; its device's features are then up to the caller. @default attentionDecode
 */
export function matrixDecodeCase(
  shape: MatrixDecodeCase,
  decode?: Decode,
): KernelCase {
  const { heads, rank, rotary, lengths, splits, design, spread } = shape;
  const sizes = latentSizes(heads, rank, rotary);
  const words = [
    `H ${heads} r ${rank} m ${rotary}`,
    describeDesign(design),
    `lengths ${lengths.join(" ")}`,
    `${splits} splits`,
    ...(spread === undefined ? [] : [`spread ${spread}`]),
  ];
  return {
    label: words.join(", "),
    needs: decode === undefined
      ? ["f16", "subgroups", "subgroupMatrix"]
      : ["f16"],
    ...(decode === undefined
      ? { fits: (gpu) => fitsMatrixDecode(gpu, sizes, { ...design, splits }) }
      : {}),
    prepare: (arena, random) =>
      prepare(shape, arena, random, decode ?? attentionDecode),
  };
}

function prepare(
  shape: MatrixDecodeCase,
  arena: Arena,
  random: CaseRandom,
  decode: Decode,
): PreparedCase {
  const { heads, rank, rotary, lengths, splits, spread = 1 } = shape;
  const batch = lengths.length;
  const capacity = Math.max(...lengths) + 2;
  const cacheRows = {
    rows: batch * capacity,
    element: "f16" as const,
    offset: 8,
    poisoned: (row: number) =>
      row % capacity > lengths[Math.floor(row / capacity)]!,
  };
  const keyWidth = rank + rotary;
  const query = caseRows(arena, random, {
    rows: batch,
    width: heads * keyWidth,
    offset: 4,
    stride: padded(heads * keyWidth) + 8,
    std: spread,
  });
  const first = caseRows(arena, random, { ...cacheRows, width: rank });
  const second = caseRows(arena, random, {
    ...cacheRows,
    width: rotary,
    stride: rotary + 8,
  });
  const scale = 1 / Math.sqrt(keyWidth);
  const matrix: MatrixDecodeShape = { ...shape.design, splits };
  const answer = answers({ ...shape, capacity, scale }, query, first, second);
  const parts = batch * heads * splits;
  const partial = arena.buffer("partial", 2 * parts * rank);
  const stats = arena.buffer("stats", 8 * parts);
  const out = zeroRows(arena, { rows: batch, width: heads * rank });
  const dispatches = [
    ...decode(arena, {
      ...latentSizes(heads, rank, rotary),
      query: query.view,
      first: first.view,
      second: second.view,
      capacity,
      lengths: arena.upload("lengths", Uint32Array.from(lengths)),
      batch,
      splits,
      scale,
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
      out,
    }),
  ];
  // Weights and means are halves, of 11 bits.
  const tolerance = { atol: 1e-3, rtol: 1e-3 };
  return {
    dispatches,
    outputs: [
      {
        name: "means",
        buffer: partial,
        element: "f16",
        expected: answer.means,
        ...tolerance,
      },
      {
        name: "merged",
        buffer: out.buffer,
        element: "f32",
        expected: answer.merged,
        ...tolerance,
      },
    ],
  };
}

/** Means of shares, and of all keys together, in f64 from the halves that the kernel multiplies. */
function answers(
  shape: MatrixDecodeCase & {
    readonly capacity: number;
    readonly scale: number;
  },
  query: CaseRows,
  first: CaseRows,
  second: CaseRows,
): { readonly means: Float64Array; readonly merged: Float64Array } {
  const { heads, rank, rotary, lengths, splits, capacity } = shape;
  const { tokens } = shape.design;
  const factor = Math.fround(shape.scale * Math.LOG2E);
  const means = new Float64Array(lengths.length * heads * splits * rank)
    .fill(NaN);
  const merged = new Float64Array(lengths.length * heads * rank);
  for (const [b, length] of lengths.entries()) {
    const keys = length + 1;
    const share = Math.ceil(keys / splits / tokens) * tokens;
    for (let h = 0; h < heads; h++) {
      const at = h * (rank + rotary);
      const q = Float64Array.from(
        { length: rank + rotary },
        (_, c) => Math.f16round(Math.fround(query.at(b, at + c) * factor)),
      );
      const scores = Float64Array.from({ length: keys }, (_, j) => {
        let score = 0;
        for (let c = 0; c < rank; c++) {
          score += q[c]! * first.at(b * capacity + j, c);
        }
        for (let c = 0; c < rotary; c++) {
          score += q[rank + c]! * second.at(b * capacity + j, c);
        }
        return score;
      });
      const mean = (from: number, to: number, out: Float64Array) => {
        const top = Math.max(...scores.subarray(from, to));
        const weights = scores.subarray(from, to).map((s) => 2 ** (s - top));
        const total = weights.reduce((sum, w) => sum + w, 0);
        for (let c = 0; c < rank; c++) {
          out[c] = weights.reduce(
            (sum, w, k) => sum + w * first.at(b * capacity + from + k, c),
            0,
          ) / total;
        }
      };
      mean(0, keys, merged.subarray((b * heads + h) * rank));
      for (let s = 0; s * share < keys; s++) {
        const part = ((b * heads + h) * splits + s) * rank;
        mean(s * share, Math.min(keys, (s + 1) * share), means.subarray(part));
      }
    }
  }
  return { means, merged };
}

const PIPE: MatrixDesign = {
  tokens: 16,
  buffers: 2,
  rowBlocks: 2,
  skips: false,
};
const SEQUENCE: MatrixDesign = {
  tokens: 32,
  buffers: 1,
  rowBlocks: 2,
  skips: true,
};

const PARITY: readonly MatrixDecodeCase[] = [
  ...[PIPE, { ...PIPE, skips: true }, SEQUENCE].flatMap((design) => {
    const llama = { heads: 32, rank: 512, rotary: 64, design };
    return [
      // One token; whole tiles; a share that is empty.
      { ...llama, lengths: [0, 63, 100], splits: 1 },
      { ...llama, lengths: [0, 17, 130], splits: 3 },
      // Sums are scaled again and again.
      { ...llama, lengths: [299, 70], splits: 2, spread: 12 },
      { ...llama, heads: 28, rank: 448, lengths: [90, 40], splits: 2 },
      { ...llama, heads: 40, rank: 256, rotary: 32, lengths: [50], splits: 2 },
      { ...llama, rank: 64, rotary: 16, lengths: [77], splits: 1 },
    ];
  }),
  ...[PIPE, SEQUENCE].flatMap((design) => {
    const few = { design: { ...design, rowBlocks: 1 as const }, splits: 2 };
    return [
      {
        ...few,
        heads: 16,
        rank: 512,
        rotary: 64,
        lengths: [70, 20],
        spread: 6,
      },
      { ...few, heads: 9, rank: 88, rotary: 64, lengths: [70, 20] },
    ];
  }),
  {
    heads: 32,
    rank: 960,
    rotary: 64,
    lengths: [100, 33],
    splits: 2,
    design: { ...SEQUENCE, tokens: 16, rowBlocks: 1 },
    spread: 6,
  },
];

const CHUNKS: MatrixDesign = {
  tokens: 16,
  buffers: 1,
  rowBlocks: 1,
  skips: true,
  chunk: 768,
};

const WIDE: readonly MatrixDecodeCase[] = [
  { rank: 1472, design: CHUNKS },
  { rank: 1472, design: { ...CHUNKS, chunk: 512 } },
  { rank: 2496, design: { ...CHUNKS, chunk: 640, valueBlocks: 2 } },
  { rank: 512, design: { ...CHUNKS, chunk: 256, valueBlocks: 2 } },
].flatMap(({ rank, design }) => {
  const wide = { heads: 32, rank, rotary: 64, design };
  return [
    { ...wide, lengths: [0, 17, 130], splits: 3 },
    { ...wide, heads: 28, lengths: [90, 40], splits: 2, spread: 12 },
  ];
});

/** Decode attention by subgroup matrices in the table. */
export const attentionDecodeMatrixEntry: KernelEntry = {
  name: "attention_decode_matrix",
  parity: [...PARITY, ...WIDE].map((shape) => matrixDecodeCase(shape)),
  bench: ATTENTION_DECODE_MATRIX_BENCH,
};
