// Cases of attentionDecode(), by their sizes.

import type { AttentionDecodeArgs } from "../attention_decode.ts";
import type { Element } from "../kernel.ts";
import {
  describeTile,
  halfTile,
  type TileDecodeShape,
  tileDecodeShape,
} from "../tile_decode_tuning.ts";

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

/** A case. */
export interface DecodeCase extends DecodeSizes {
  readonly label: string;
  /** Tokens in the cache before the step. */
  readonly lengths: readonly number[];
  readonly elements: readonly [first: Element, second: Element];
  /** Standard deviation of the scores. @default 1 */
  readonly spread?: number;
  readonly gpuOnly?: boolean;
  readonly plain?: boolean;
  readonly tile?: TileDecodeShape;
}

const GQA: DecodeCase = {
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

const MLA: DecodeCase = {
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

// Widths and heads that end within a load of all lanes and within a workgroup.
const TILE: DecodeCase = {
  ...MLA,
  label: "MLA by tiles of 8 heads, r 48 m 6, f16",
  heads: 5,
  firstWidth: 48,
  secondWidth: 6,
  valueWidth: 48,
  elements: ["f16", "f16"],
  tile: tileDecodeShape(8, 2, 1, true),
};

const TILES: readonly DecodeCase[] = [
  TILE,
  {
    ...TILE,
    label: "MLA by packed tiles, r 128 m 20, 3 splits, some empty",
    lengths: [0, 25],
    heads: 9,
    firstWidth: 128,
    secondWidth: 20,
    valueWidth: 128,
    splits: 3,
    tile: tileDecodeShape(8, 2, 1, false),
  },
  {
    ...TILE,
    label: "MLA by two packed tiles of 16 heads, spread 60",
    spread: 60,
    heads: 16,
    tile: tileDecodeShape(16, 1, 2, false),
  },
  {
    ...TILE,
    label: "MLA by two tiles of 4 heads, 3 rounds, 1 split",
    splits: 1,
    tile: tileDecodeShape(4, 3, 2, true),
  },
  {
    ...TILE,
    label: "MLA by tiles, f32, r 36 m 0, H 3",
    heads: 3,
    firstWidth: 36,
    valueWidth: 36,
    secondWidth: 0,
    elements: ["f32", "f32"],
    tile: tileDecodeShape(4, 1, 1, false),
  },
  {
    ...TILE,
    label: "MLA by tiles, f32, r 64 m 4",
    firstWidth: 64,
    valueWidth: 64,
    secondWidth: 4,
    elements: ["f32", "f32"],
    tile: tileDecodeShape(8, 1, 2, true),
  },
  {
    ...TILE,
    label: "MLA by tiles in halves, r 48 m 6",
    tile: halfTile(8, 2, 1),
  },
  {
    ...TILE,
    label: "MLA by two tiles in halves, r 128 m 20, 3 splits, some empty",
    lengths: [0, 25],
    heads: 9,
    firstWidth: 128,
    secondWidth: 20,
    valueWidth: 128,
    splits: 3,
    tile: halfTile(8, 1, 2),
  },
  {
    ...TILE,
    label: "MLA by tiles in halves, r 64 m 0, spread 8",
    spread: 8,
    firstWidth: 64,
    valueWidth: 64,
    secondWidth: 0,
    heads: 4,
    tile: halfTile(4, 3, 1),
  },
  ...([
    [512, tileDecodeShape(32, 2, 1, true)],
    [512, tileDecodeShape(32, 2, 2, false)],
    [512, tileDecodeShape(16, 1, 1, true)],
    [448, tileDecodeShape(16, 2, 1, false)],
    [512, tileDecodeShape(8, 2, 1, false)],
    [512, halfTile(32, 2, 1)],
    [512, halfTile(32, 3, 1)],
    [448, halfTile(16, 2, 2)],
    [512, halfTile(8, 2, 1)],
  ] as const).map(([rank, tile]): DecodeCase => ({
    ...MLA,
    label: `MLA H 28 r ${rank} m 64, f16, by tiles of ${describeTile(tile)}`,
    gpuOnly: true,
    heads: 28,
    firstWidth: rank,
    secondWidth: 64,
    valueWidth: rank,
    splits: 3,
    lengths: [200, 77, 0],
    elements: ["f16", "f16"],
    tile,
  })),
];

/** Small and odd sizes for every form. */
export const DECODE_CASES: readonly DecodeCase[] = [
  ...TILES,
  GQA,
  { ...headDim(GQA, 8), label: "GQA d 8, plain", plain: true },
  { ...headDim(GQA, 8), label: "MHA d 8, 1 split", heads: 2, splits: 1 },
  ...(["f32", "f16"] as const).map((element): DecodeCase => ({
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
  ...[512, 448, 1472, 2496].map((rank): DecodeCase => ({
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

function headDim(shape: DecodeCase, width: number): DecodeCase {
  return {
    ...shape,
    firstWidth: width,
    keyGroupStride: width,
    valueWidth: width,
    valueGroupStride: width,
  };
}
