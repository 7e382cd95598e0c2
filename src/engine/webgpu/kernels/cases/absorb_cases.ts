// Cases of absorb().

import type { Arena } from "../../device/gpu.ts";
import { absorb } from "../absorb.ts";
import { caseRows, zeroRows } from "./case_rows.ts";
import { type Element, padded } from "../kernel.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

interface Shape {
  readonly label: string;
  readonly rows: number;
  readonly heads: number;
  readonly groups: number;
  readonly nope: number;
  readonly rotary: number;
  readonly rank: number;
  readonly latentFirst: boolean;
  readonly rotaryFirst: boolean;
  readonly element: Element;
  /** Rows of keyUp between one group's and the next's. */
  readonly between: number;
}

const BASE: Shape = {
  label: "1 row, H 3 G 3 n 5 m 4 r 7",
  rows: 1,
  heads: 3,
  groups: 3,
  nope: 5,
  rotary: 4,
  rank: 7,
  latentFirst: true,
  rotaryFirst: false,
  element: "f32",
  between: 6,
};

const PARITY: readonly Shape[] = [
  BASE,
  { ...BASE, label: "3 rows, rotary first", rows: 3, rotaryFirst: true },
  {
    ...BASE,
    label: "7 rows, G < H, latent last, r 40",
    rows: 7,
    heads: 6,
    groups: 2,
    rank: 40,
    latentFirst: false,
  },
  {
    ...BASE,
    label: "70 rows, f16, r 24",
    rows: 70,
    rank: 24,
    element: "f16",
  },
  { ...BASE, label: "9 rows, f16, r 13", rows: 9, rank: 13, element: "f16" },
  {
    ...BASE,
    label: "merged basis, 67 rows, H 4 G 2 d 6",
    rows: 67,
    heads: 4,
    groups: 2,
    nope: 6,
    rotary: 0,
    rank: 12,
    between: 0,
  },
  { ...BASE, label: "n 70, 1 row", nope: 70, rotary: 0 },
  { ...BASE, label: "n 1, 2 rows", rows: 2, nope: 1, rank: 4 },
];

function parityCase(shape: Shape): KernelCase {
  return {
    label: shape.label,
    ...(shape.element === "f16" ? { needs: ["f16"] } : {}),
    prepare: (arena, random) => prepare(shape, arena, random),
  };
}

function prepare(shape: Shape, arena: Arena, random: CaseRandom) {
  const { rows, heads, groups, nope, rotary, rank } = shape;
  const width = nope + rotary;
  const start = 5;
  const x = caseRows(arena, random, {
    rows,
    width: start + heads * width,
    offset: 2,
    stride: padded(start + heads * width),
  });
  const groupRows = nope + shape.between;
  const keyUp = caseRows(arena, random, {
    rows: groups * groupRows,
    width: rank,
    stride: padded(rank),
    element: shape.element,
  });
  const outWidth = rank + rotary;
  const stride = padded(heads * outWidth);
  const out = zeroRows(arena, { rows, width: heads * outWidth, stride });
  const expected = new Float64Array(rows * stride).fill(NaN);
  const latentTo = shape.latentFirst ? 0 : rotary;
  const rotaryTo = shape.latentFirst ? rank : 0;
  const nopeAt = shape.rotaryFirst ? rotary : 0;
  const rotaryAt = shape.rotaryFirst ? 0 : nope;
  for (let t = 0; t < rows; t++) {
    for (let h = 0; h < heads; h++) {
      const up = Math.floor(h * groups / heads) * groupRows;
      const q = start + h * width;
      const o = t * stride + h * outWidth;
      for (let j = 0; j < rank; j++) {
        let sum = 0;
        for (let i = 0; i < nope; i++) {
          sum += x.at(t, q + nopeAt + i) * keyUp.at(up + i, j);
        }
        expected[o + latentTo + j] = sum;
      }
      for (let i = 0; i < rotary; i++) {
        expected[o + rotaryTo + i] = x.at(t, q + rotaryAt + i);
      }
    }
  }
  const dispatches = absorb(arena, {
    x: x.view,
    rows,
    query: {
      start,
      heads,
      width,
      rotaryStart: rotaryAt,
      rotaryWidth: rotary,
    },
    groups,
    keyUp: keyUp.view,
    groupRows,
    rank,
    latentFirst: shape.latentFirst,
    out,
  });
  return {
    dispatches,
    outputs: [{
      name: "out",
      buffer: out.buffer,
      element: "f32" as const,
      expected,
      atol: 4e-6,
      rtol: 4e-6,
    }],
  };
}

function benchCase(
  label: string,
  rows: number,
  sizes: {
    heads: number;
    groups: number;
    nope: number;
    rotary: number;
    rank: number;
  },
): KernelCase {
  return {
    label: `${label}, ${rows} rows`,
    needs: ["f16"],
    prepare(arena) {
      const { heads, groups, nope, rotary, rank } = sizes;
      const width = nope + rotary;
      return {
        dispatches: absorb(arena, {
          x: zeroRows(arena, { rows, width: heads * width }),
          rows,
          query: {
            start: 0,
            heads,
            width,
            rotaryStart: nope,
            rotaryWidth: rotary,
          },
          groups,
          keyUp: zeroRows(arena, {
            rows: groups * nope,
            width: rank,
            element: "f16",
          }),
          rank,
          latentFirst: true,
          out: zeroRows(arena, { rows, width: heads * (rank + rotary) }),
        }),
        outputs: [],
      };
    },
  };
}

const LLAMA = { heads: 32, groups: 32, nope: 128, rotary: 64, rank: 512 };
const SMOLLM = { heads: 9, groups: 3, nope: 64, rotary: 64, rank: 88 };

/** absorb() in the table. */
export const absorbEntry: KernelEntry = {
  name: "absorb",
  parity: PARITY.map(parityCase),
  bench: [
    ...[1, 30, 244].map((rows) => benchCase("LLaMA-2-7B MLA", rows, LLAMA)),
    benchCase("SmolLM2-135M MLA", 1, SMOLLM),
  ],
};
