// Cases of attentionSums().

import type { Arena } from "../../device/gpu.ts";
import {
  attentionProblem,
  type AttentionShape,
  softmax,
  tileTable,
} from "./attention_problem.ts";
import { attentionSums } from "../attention_sums.ts";
import { zeroRows } from "./case_rows.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

interface Shape extends AttentionShape {
  readonly label: string;
}

const GQA: Shape = {
  label: "GQA H 6 G 2 d 5, ragged",
  sequences: [{ past: 0, rows: 11 }, { past: 0, rows: 1 }, {
    past: 0,
    rows: 35,
  }],
  heads: 6,
  groups: 2,
  nope: 5,
  rotary: 0,
  value: 1,
  tileRows: 7,
};

const PARITY: readonly Shape[] = [
  GQA,
  {
    ...GQA,
    label: "MLA n 6 m 4, wide tiles, gaps",
    nope: 6,
    rotary: 4,
    tileRows: 32,
    gap: 3,
  },
  {
    ...GQA,
    label: "G = H 2, d 40, f16",
    heads: 2,
    nope: 40,
    tileRows: 16,
    elements: ["f16", "f16", "f16"],
  },
  {
    ...GQA,
    label: "shared keys of width 10, rotary first",
    sharedKeys: true,
    nope: 10,
    rotary: 2,
    rotaryFirst: true,
  },
  { ...GQA, label: "spread 20", spread: 20 },
  {
    ...GQA,
    label: "several tiles each way",
    sequences: [{ past: 0, rows: 150 }, { past: 0, rows: 90 }],
    heads: 3,
    groups: 1,
    nope: 8,
    tileRows: 64,
  },
];

function parityCase(shape: Shape): KernelCase {
  return {
    label: shape.label,
    ...(shape.elements?.includes("f16") ? { needs: ["f16"] } : {}),
    prepare: (arena, random) => prepare(shape, arena, random),
  };
}

function prepare(shape: Shape, arena: Arena, random: CaseRandom) {
  const { heads } = shape;
  const problem = attentionProblem(arena, random, shape);
  const rows = problem.rows.length;
  const distances = Math.max(...shape.sequences.map(({ rows }) => rows));
  const received = new Float64Array(rows);
  const massByDistance = new Float64Array(distances);
  const lse = new Float32Array(rows * heads);
  for (const [i, { position }] of problem.rows.entries()) {
    for (let h = 0; h < heads; h++) {
      const { weights, lse: own } = softmax(problem.scores(i, h));
      lse[i * heads + h] = own;
      for (let j = 0; j <= position; j++) {
        received[i - position + j]! += weights[j]!;
        massByDistance[position - j]! += weights[j]!;
      }
    }
  }
  const outputs = {
    received: arena.buffer("received", 4 * rows),
    massByDistance: arena.buffer("massByDistance", 4 * distances),
  };
  const dispatches = attentionSums(arena, {
    ...problem.views,
    lse: arena.upload("lse", lse),
    tiles: problem.tiles,
    tileCount: problem.tileCount,
    tileRows: shape.tileRows,
    rows,
    distances,
    ...outputs,
  });
  const expected = { received, massByDistance };
  return {
    dispatches,
    outputs: (["received", "massByDistance"] as const).map((name) => ({
      name,
      buffer: outputs[name],
      element: "f32" as const,
      expected: expected[name],
      atol: 1e-5,
      rtol: 1e-5,
    })),
  };
}

function benchCase(batch: number, tokens: number): KernelCase {
  return {
    label: `SmolLM2-135M GQA, ${batch} x ${tokens}, f32`,
    prepare(arena) {
      const [heads, groups, nope] = [9, 3, 64];
      const rows = batch * tokens;
      const tileRows = 64;
      const tiles = tileTable(
        Array.from({ length: batch }, () => ({ past: 0, rows: tokens })),
        tileRows,
      );
      return {
        dispatches: attentionSums(arena, {
          query: zeroRows(arena, { rows, width: heads * nope }),
          queryNope: 0,
          queryRotary: nope,
          heads,
          groups,
          nope,
          rotary: 0,
          scale: 0.125,
          key: zeroRows(arena, { rows, width: groups * nope }),
          keyGroupStride: nope,
          capacity: tokens,
          lse: arena.buffer("lse", 4 * rows * heads),
          tiles: arena.upload("tiles", tiles),
          tileCount: tiles.length / 4,
          tileRows,
          rows,
          distances: tokens,
          received: arena.buffer("received", 4 * rows),
          massByDistance: arena.buffer("massByDistance", 4 * tokens),
          scores: batch * tokens * (tokens + 1) / 2,
        }),
        outputs: [],
      };
    },
  };
}

/** attentionSums() in the table. */
export const attentionSumsEntry: KernelEntry = {
  name: "attention_sums",
  parity: PARITY.map(parityCase),
  bench: [benchCase(8, 2048)],
};
