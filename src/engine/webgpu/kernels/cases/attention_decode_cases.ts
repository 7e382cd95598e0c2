// Cases of attentionDecode().

import type { Arena } from "../../device/gpu.ts";
import {
  attentionDecode,
  type AttentionDecodeArgs,
} from "../attention_decode.ts";
import { ATTENTION_DECODE_BENCH } from "./attention_decode_bench_cases.ts";
import { caseRows } from "./case_rows.ts";
import { type Element, padded } from "../kernel.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

/** What a case's label is about. */
export type DecodeSizes = Pick<
  AttentionDecodeArgs,
  | "heads"
  | "keyGroups"
  | "valueGroups"
  | "firstWidth"
  | "secondWidth"
  | "keyGroupStride"
  | "valueFrom"
  | "valueWidth"
  | "valueGroupStride"
  | "splits"
>;

interface Shape extends DecodeSizes {
  readonly label: string;
  /** Tokens in the cache before the step. */
  readonly lengths: readonly number[];
  readonly elements: readonly [first: Element, second: Element];
  /** Standard deviation of the scores. @default 1 */
  readonly spread?: number;
  readonly gpuOnly?: boolean;
  readonly plain?: boolean;
}

const GQA: Shape = {
  label: "GQA H 6 G 2 d 5, 3 splits, some empty",
  lengths: [0, 40, 3, 17],
  heads: 6,
  keyGroups: 2,
  valueGroups: 2,
  firstWidth: 5,
  secondWidth: 0,
  keyGroupStride: 5,
  valueFrom: "second",
  valueWidth: 5,
  valueGroupStride: 5,
  splits: 3,
  elements: ["f32", "f32"],
};

const MLA: Shape = {
  label: "MLA H 5 r 7 m 4, 2 splits",
  lengths: [11, 0, 70],
  heads: 5,
  keyGroups: 1,
  valueGroups: 1,
  firstWidth: 7,
  secondWidth: 4,
  keyGroupStride: 0,
  valueFrom: "first",
  valueWidth: 7,
  valueGroupStride: 0,
  splits: 2,
  elements: ["f32", "f32"],
};

const PARITY: readonly Shape[] = [
  GQA,
  { ...headDim(GQA, 8), label: "GQA d 8, plain", plain: true },
  { ...headDim(GQA, 8), label: "MHA d 8, 1 split", heads: 2, splits: 1 },
  ...(["f32", "f16"] as const).map((element): Shape => ({
    ...headDim(GQA, 128),
    label: `MHA d 128, ${element}`,
    heads: 2,
    lengths: [0, 40],
    elements: [element, element],
  })),
  {
    ...headDim(GQA, 64),
    label: "GQA d 64, 9 splits",
    splits: 9,
    lengths: [99, 7],
  },
  {
    ...headDim(GQA, 32),
    label: "GQA d 32, f16",
    elements: ["f16", "f16"],
  },
  {
    ...headDim(GQA, 8),
    label: "f16 keys, f32 values, G 1",
    keyGroups: 1,
    valueGroups: 1,
    elements: ["f16", "f32"],
  },
  MLA,
  { ...MLA, label: "MLA m 0", secondWidth: 0 },
  { ...MLA, label: "spread 60", spread: 60 },
  {
    ...MLA,
    label: "MLA r 20 m 6, spread 60",
    spread: 60,
    firstWidth: 20,
    valueWidth: 20,
    secondWidth: 6,
  },
  {
    ...MLA,
    label: "MLA r 24 m 8, f16, H 9",
    heads: 9,
    firstWidth: 24,
    secondWidth: 8,
    valueWidth: 24,
    elements: ["f16", "f16"],
  },
  {
    ...MLA,
    label: "MLA r 64 m 16, f32, H 4",
    heads: 4,
    firstWidth: 64,
    secondWidth: 16,
    valueWidth: 64,
  },
  {
    ...MLA,
    label: "MLA r 88 m 4, f16 latent, f32 rotary",
    firstWidth: 88,
    valueWidth: 88,
    elements: ["f16", "f32"],
  },
  {
    ...GQA,
    label: "partial RoPE H 4 G 2 d 6",
    heads: 4,
    firstWidth: 12,
    keyGroupStride: 0,
    valueWidth: 6,
    valueGroupStride: 6,
  },
  {
    ...GQA,
    label: "one key group, two value groups",
    keyGroups: 1,
    keyGroupStride: 0,
  },
  ...[512, 448].map((rank): Shape => ({
    ...MLA,
    label: `MLA H 32 r ${rank} m 64, f16`,
    gpuOnly: true,
    heads: 32,
    firstWidth: rank,
    secondWidth: 64,
    valueWidth: rank,
    splits: 3,
    lengths: [200, 77, 0],
    elements: ["f16", "f16"],
  })),
  {
    ...headDim(GQA, 128),
    label: "GQA H 32 G 4 d 128, f16",
    gpuOnly: true,
    heads: 32,
    keyGroups: 4,
    valueGroups: 4,
    lengths: [200, 77, 0],
    elements: ["f16", "f16"],
  },
];

function headDim(shape: Shape, width: number): Shape {
  return {
    ...shape,
    firstWidth: width,
    keyGroupStride: width,
    valueWidth: width,
    valueGroupStride: width,
  };
}

function parityCase(shape: Shape): KernelCase {
  return {
    label: shape.label,
    ...(shape.elements.includes("f16") ? { needs: ["f16"] } : {}),
    ...(shape.gpuOnly ? { fits: (gpu) => !gpu.facts.software } : {}),
    prepare: (arena, random) => prepare(shape, arena, random),
  };
}

function prepare(shape: Shape, arena: Arena, random: CaseRandom) {
  const { lengths, heads, splits, valueWidth, firstWidth, secondWidth } = shape;
  const { spread = 1 } = shape;
  const batch = lengths.length;
  const capacity = Math.max(...lengths) + 2;
  const cacheRows = {
    rows: batch * capacity,
    poisoned: (row: number) =>
      row % capacity > lengths[Math.floor(row / capacity)]!,
  };
  const keyWidth = firstWidth + secondWidth;
  const query = caseRows(arena, random, {
    rows: batch,
    width: heads * keyWidth,
    offset: 4,
    stride: padded(heads * keyWidth),
    std: spread,
  });
  const first = caseRows(arena, random, {
    ...cacheRows,
    width: shape.keyGroupStride === 0
      ? firstWidth
      : shape.keyGroups * firstWidth,
    element: shape.elements[0],
  });
  const second = caseRows(arena, random, {
    ...cacheRows,
    width: shape.valueFrom === "first"
      ? Math.max(1, secondWidth)
      : shape.valueGroups * valueWidth,
    element: shape.elements[1],
  });
  const scale = 1 / Math.sqrt(keyWidth);
  const values = shape.valueFrom === "first" ? first : second;
  const expected = new Float64Array(batch * heads * splits * valueWidth)
    .fill(NaN);
  const expectedStats = new Float64Array(batch * heads * splits * 2);
  for (let b = 0; b < batch; b++) {
    const keys = lengths[b]! + 1;
    const share = Math.ceil(keys / splits);
    for (let h = 0; h < heads; h++) {
      const key = Math.floor(h * shape.keyGroups / heads) *
        shape.keyGroupStride;
      const value = Math.floor(h * shape.valueGroups / heads) *
        shape.valueGroupStride;
      for (let s = 0; s < splits; s++) {
        const part = (b * heads + h) * splits + s;
        const scores: number[] = [];
        for (let j = s * share; j < Math.min(keys, (s + 1) * share); j++) {
          let score = 0;
          for (let c = 0; c < firstWidth; c++) {
            score += query.at(b, h * keyWidth + c) *
              first.at(b * capacity + j, key + c);
          }
          for (let c = 0; c < secondWidth; c++) {
            score += query.at(b, h * keyWidth + firstWidth + c) *
              second.at(b * capacity + j, c);
          }
          scores.push(score * scale * Math.LOG2E);
        }
        const top = Math.max(...scores, -3e38);
        const weights = scores.map((score) => 2 ** (score - top));
        expectedStats[2 * part] = top;
        expectedStats[2 * part + 1] = weights.reduce((sum, p) => sum + p, 0);
        if (scores.length === 0) continue;
        for (let c = 0; c < valueWidth; c++) {
          expected[part * valueWidth + c] = weights.reduce(
            (sum, p, k) =>
              sum + p * values.at(b * capacity + s * share + k, value + c),
            0,
          );
        }
      }
    }
  }
  const partial = arena.buffer("partial", 4 * expected.length);
  const stats = arena.buffer("stats", 4 * expectedStats.length);
  const dispatches = attentionDecode(arena, {
    ...shape,
    query: query.view,
    first: first.view,
    second: second.view,
    capacity,
    lengths: arena.upload("lengths", Uint32Array.from(lengths)),
    batch,
    scale,
    partial,
    stats,
  });
  // A score of size s has an error of about s·2^-23, and p that relative error.
  const tolerance = 4e-6 * Math.max(1, spread);
  return {
    dispatches,
    outputs: [
      {
        name: "partial",
        buffer: partial,
        element: "f32" as const,
        expected,
        atol: tolerance,
        rtol: tolerance,
      },
      {
        name: "stats",
        buffer: stats,
        element: "f32" as const,
        expected: expectedStats,
        atol: tolerance,
        rtol: tolerance,
      },
    ],
  };
}

/** attentionDecode() in the table. */
export const attentionDecodeEntry: KernelEntry = {
  name: "attention_decode",
  parity: PARITY.map(parityCase),
  bench: ATTENTION_DECODE_BENCH,
};
