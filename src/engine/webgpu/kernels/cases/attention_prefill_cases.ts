// Cases of attentionPrefill().

import type { Arena } from "../../device/gpu.ts";
import { attentionPrefill, type PrefillTile } from "../attention_prefill.ts";
import {
  attentionProblem,
  type AttentionShape,
  softmax,
  tileTable,
} from "./attention_problem.ts";
import { zeroRows } from "./case_rows.ts";
import { type Element, padded } from "../kernel.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

interface Shape extends AttentionShape {
  readonly label: string;
  readonly tile?: PrefillTile;
  /** @default "f32" */
  readonly outElement?: Element;
  /** Large tiles compile for seconds on a rasterizer. */
  readonly gpuOnly?: boolean;
}

const SMALL: PrefillTile = { rows: 4, rowsPerThread: 2, across: 2, chunk: 8 };

const GQA: Shape = {
  label: "GQA H 6 G 2 d 5, ragged",
  sequences: [{ past: 0, rows: 11 }, { past: 0, rows: 1 }, {
    past: 0,
    rows: 20,
  }],
  heads: 6,
  groups: 2,
  nope: 5,
  rotary: 0,
  value: 5,
  tileRows: 7,
};

const MLA: Shape = {
  label: "MLA H 3 n 6 m 4 v 9, ragged with past",
  sequences: [{ past: 13, rows: 9 }, { past: 0, rows: 3 }],
  heads: 3,
  groups: 3,
  nope: 6,
  rotary: 4,
  value: 9,
  tileRows: 8,
};

const PARITY: readonly Shape[] = [
  GQA,
  { ...GQA, label: "GQA, small tile, gaps", tile: SMALL, gap: 3 },
  {
    ...GQA,
    label: "G = H 3, d 8, vectors, past",
    heads: 3,
    groups: 3,
    nope: 8,
    value: 8,
    sequences: [{ past: 17, rows: 10 }],
    tileRows: 16,
  },
  {
    ...GQA,
    label: "f16 keys, f32 values, H 5 G 1 d 8 v 12",
    heads: 5,
    groups: 1,
    nope: 8,
    value: 12,
    elements: ["f16", "f16", "f32"],
  },
  { ...GQA, label: "out f16", outElement: "f16" },
  { ...GQA, label: "out f16 in single numbers", outElement: "f16", value: 5 },
  MLA,
  {
    ...MLA,
    label: "MLA, rotary first, small tile",
    rotaryFirst: true,
    tile: SMALL,
  },
  { ...MLA, label: "MLA, G < H", heads: 4, groups: 2, nope: 8, value: 4 },
  {
    ...MLA,
    label: "MLA, f32 latent keys, f16 rotary keys, f16 values",
    elements: ["f32", "f16", "f16"],
    rotary: 3,
    value: 8,
  },
  { ...MLA, label: "scores of spread 60", spread: 60, gap: 4 },
  {
    ...GQA,
    label: "shared keys",
    sharedKeys: true,
    nope: 10,
    value: 3,
    tileRows: 5,
  },
  ...[[64, 0, 64], [88, 64, 64], [128, 64, 128], [128, 0, 128]].map((
    [nope, rotary, value],
  ): Shape => ({
    label: `tile of a GPU, n ${nope} m ${rotary} v ${value}`,
    gpuOnly: true,
    sequences: [{ past: 5, rows: 130 }, { past: 0, rows: 77 }],
    heads: 2,
    groups: 1,
    nope: nope!,
    rotary: rotary!,
    value: value!,
    tileRows: 64,
  })),
];

function parityCase(shape: Shape): KernelCase {
  return {
    label: shape.label,
    ...(shape.elements?.includes("f16") || shape.outElement === "f16"
      ? { needs: ["f16"] }
      : {}),
    ...(shape.gpuOnly ? { fits: (gpu) => !gpu.facts.software } : {}),
    prepare: (arena, random) => prepare(shape, arena, random),
  };
}

function prepare(shape: Shape, arena: Arena, random: CaseRandom) {
  const { heads, value, outElement = "f32" } = shape;
  const problem = attentionProblem(arena, random, shape);
  const count = problem.rows.length;
  const stride = padded(heads * value);
  const out = zeroRows(arena, {
    rows: count,
    width: heads * value,
    stride,
    element: outElement,
  });
  const lse = arena.buffer("lse", 4 * count * heads);
  const expected = new Float64Array(count * stride).fill(NaN);
  const expectedLse = new Float64Array(count * heads);
  for (let i = 0; i < count; i++) {
    for (let h = 0; h < heads; h++) {
      const { weights, lse } = softmax(problem.scores(i, h));
      expectedLse[i * heads + h] = lse;
      for (let c = 0; c < value; c++) {
        expected[i * stride + h * value + c] = weights.reduce(
          (sum, p, j) => sum + p * problem.valueAt(i, h, j, c),
          0,
        );
      }
    }
  }
  const dispatches = attentionPrefill(arena, {
    ...problem.views,
    value,
    values: problem.values.view,
    valueGroupStride: problem.valueGroupStride,
    tiles: problem.tiles,
    tileCount: problem.tileCount,
    tileRows: shape.tileRows,
    out,
    lse,
    ...(shape.tile === undefined ? {} : { tile: shape.tile }),
  });
  // A score of size s has an error of about s·2^-23, and p that relative error.
  const tolerance = 2e-6 * Math.max(1, shape.spread ?? 1);
  return {
    dispatches,
    outputs: [
      {
        name: "out",
        buffer: out.buffer,
        element: outElement,
        expected,
        atol: tolerance,
        rtol: outElement === "f16" ? 1e-3 : tolerance,
      },
      {
        name: "lse",
        buffer: lse,
        element: "f32" as const,
        expected: expectedLse,
        atol: tolerance,
        rtol: 1e-5,
      },
    ],
  };
}

interface BenchShape {
  readonly label: string;
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly groups: number;
  readonly nope: number;
  readonly rotary: number;
  readonly value: number;
  readonly element: "f16" | "f32";
}

function benchCase(shape: BenchShape): KernelCase {
  return {
    label: `${shape.label}, ${shape.batch} x ${shape.tokens}, ${shape.element}`,
    ...(shape.element === "f16" ? { needs: ["f16"] } : {}),
    prepare(arena) {
      const { batch, tokens, heads, groups, nope, rotary, value, element } =
        shape;
      const rows = batch * tokens;
      const tileRows = 64;
      const tiles = tileTable(
        Array.from({ length: batch }, () => ({ past: 0, rows: tokens })),
        tileRows,
      );
      const queryWidth = heads * (nope + rotary);
      return {
        dispatches: attentionPrefill(arena, {
          query: zeroRows(arena, { rows, width: queryWidth }),
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
          out: zeroRows(arena, { rows, width: heads * value }),
          scores: batch * tokens * (tokens + 1) / 2,
        }),
        outputs: [],
      };
    },
  };
}

const SMOLLM = {
  batch: 8,
  tokens: 2048,
  heads: 9,
  groups: 3,
  nope: 64,
  rotary: 0,
  value: 64,
};

/** attentionPrefill() in the table. */
export const attentionPrefillEntry: KernelEntry = {
  name: "attention_prefill",
  parity: PARITY.map(parityCase),
  bench: [
    benchCase({ ...SMOLLM, label: "SmolLM2-135M GQA", element: "f32" }),
    benchCase({ ...SMOLLM, label: "SmolLM2-135M GQA", element: "f16" }),
    benchCase({
      ...SMOLLM,
      label: "SmolLM2-135M MLA n 64 m 64",
      rotary: 64,
      element: "f32",
    }),
    benchCase({
      label: "LLaMA-2-7B MHA",
      batch: 1,
      tokens: 4096,
      heads: 32,
      groups: 32,
      nope: 128,
      rotary: 0,
      value: 128,
      element: "f16",
    }),
  ],
};
