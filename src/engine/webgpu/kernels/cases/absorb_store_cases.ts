// Cases of absorbStore(): one dispatch, and the two that it is where rows are not
// whole loads.

import type { Arena } from "../../device/gpu.ts";
import { absorbStore, type AbsorbStoreArgs } from "../absorb_store.ts";
import {
  absorbCandidates,
  type AbsorbShape,
  describeAbsorb,
} from "../absorb_tuning.ts";
import { type Element, padded } from "../kernel.ts";
import { caseRows, zeroRows } from "./case_rows.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

interface Sizes {
  readonly heads: number;
  readonly groups: number;
  readonly nope: number;
  readonly rotary: number;
  readonly rank: number;
}

interface Shape extends Sizes {
  readonly label: string;
  /** Position of each sequence's row. */
  readonly positions: readonly number[];
  readonly layout: "half" | "interleaved";
  readonly element: Element;
  readonly cache: readonly [first: Element, second: Element];
  /** Rotary dims before the others, and the latent after them. */
  readonly rotaryFirst?: boolean;
  readonly shape?: AbsorbShape;
  /** Fewer than 16 bytes a load: two dispatches, and x rotates in place. */
  readonly apart?: boolean;
}

const BASE: Shape = {
  label: "1 row, H 3 G 3 n 5 m 4 r 8",
  positions: [6],
  heads: 3,
  groups: 3,
  nope: 5,
  rotary: 4,
  rank: 8,
  layout: "interleaved",
  element: "f32",
  cache: ["f32", "f32"],
};

const PARITY: readonly Shape[] = [
  BASE,
  {
    ...BASE,
    label: "3 rows, G < H, half, r 20",
    positions: [2, 0, 7],
    heads: 4,
    groups: 2,
    rank: 20,
    layout: "half",
  },
  {
    ...BASE,
    label: "19 rows, f16, n 12, r 40",
    positions: Array.from({ length: 19 }, (_, i) => i % 5),
    nope: 12,
    rank: 40,
    element: "f16",
    cache: ["f16", "f16"],
  },
  {
    ...BASE,
    label: "1 row, f16, n 33 m 6, f16 latent and f32 rotary key",
    nope: 33,
    rotary: 6,
    element: "f16",
    cache: ["f16", "f32"],
  },
  {
    ...BASE,
    label: "7 rows, several turns, rotary first",
    positions: [0, 1, 2, 3, 4, 5, 6],
    nope: 24,
    rank: 36,
    rotaryFirst: true,
    shape: { columns: 4, slices: 2, rowGroups: 2, rows: 2, ahead: 4 },
  },
  { ...BASE, label: "m 0, 2 rows", positions: [3, 1], rotary: 0 },
  { ...BASE, label: "apart, r 7", positions: [3, 1], rank: 7, apart: true },
];

function parityCase(shape: Shape): KernelCase {
  const halves = [shape.element, ...shape.cache].includes("f16");
  return {
    label: shape.label,
    ...(halves ? { needs: ["f16"] } : {}),
    prepare: (arena, random) => prepare(shape, arena, random),
  };
}

function prepare(shape: Shape, arena: Arena, random: CaseRandom) {
  const { heads, groups, nope, rotary, rank, positions } = shape;
  const { rotaryFirst = false } = shape;
  const rows = positions.length;
  const width = nope + rotary;
  const pairs = rotary / 2;
  const capacity = Math.max(...positions) + 2;
  const projection = heads * width + rank + rotary;
  const offset = 3;
  const x = caseRows(arena, random, {
    rows,
    width: projection,
    offset,
    stride: padded(projection) + 1,
  });
  const groupRows = nope + 2;
  const keyUp = caseRows(arena, random, {
    rows: groups * groupRows,
    width: rank,
    stride: padded(rank),
    element: shape.element,
  });
  const angles = random.normal(Math.max(1, capacity * pairs));
  const cos = Float32Array.from(angles, Math.cos);
  const sin = Float32Array.from(angles, Math.sin);
  const rotated = x.data.slice();
  const rotaryAt = rotaryFirst ? 0 : nope;
  const starts = [
    ...Array.from({ length: heads }, (_, h) => h * width + rotaryAt),
    heads * width + rank,
  ];
  for (const [t, position] of positions.entries()) {
    for (const start of starts) {
      for (let k = 0; k < pairs; k++) {
        const at = offset + t * x.view.stride + start;
        const [re, im] = shape.layout === "half"
          ? [at + k, at + k + pairs]
          : [at + 2 * k, at + 2 * k + 1];
        const c = cos[position * pairs + k]!;
        const s = sin[position * pairs + k]!;
        rotated[re] = x.data[re]! * c - x.data[im]! * s;
        rotated[im] = x.data[im]! * c + x.data[re]! * s;
      }
    }
  }
  const rotatedAt = (t: number, column: number) =>
    rotated[offset + t * x.view.stride + column]!;
  const outWidth = rank + rotary;
  const stride = padded(heads * outWidth);
  const out = zeroRows(arena, { rows, width: heads * outWidth, stride });
  const expected = new Float64Array(rows * stride).fill(NaN);
  const latentTo = rotaryFirst ? rotary : 0;
  const rotaryTo = rotaryFirst ? 0 : rank;
  const nopeAt = rotaryFirst ? rotary : 0;
  const first = zeroRows(arena, {
    rows: rows * capacity,
    width: rank,
    element: shape.cache[0],
  });
  const second = zeroRows(arena, {
    rows: rows * capacity,
    width: Math.max(1, rotary),
    element: shape.cache[1],
  });
  const expectedFirst = new Float64Array(rows * capacity * rank).fill(NaN);
  const expectedSecond = new Float64Array(rows * capacity * rotary).fill(NaN);
  for (const [t, position] of positions.entries()) {
    for (let h = 0; h < heads; h++) {
      const up = Math.floor(h * groups / heads) * groupRows;
      const o = t * stride + h * outWidth;
      for (let j = 0; j < rank; j++) {
        let sum = 0;
        for (let i = 0; i < nope; i++) {
          sum += x.at(t, h * width + nopeAt + i) * keyUp.at(up + i, j);
        }
        expected[o + latentTo + j] = sum;
      }
      for (let i = 0; i < rotary; i++) {
        expected[o + rotaryTo + i] = rotatedAt(t, h * width + rotaryAt + i);
      }
    }
    const slot = t * capacity + position;
    for (let j = 0; j < rank; j++) {
      expectedFirst[slot * rank + j] = rotatedAt(t, heads * width + j);
    }
    for (let i = 0; i < rotary; i++) {
      expectedSecond[slot * rotary + i] = rotatedAt(
        t,
        heads * width + rank + i,
      );
    }
  }
  const dispatches = absorbStore(arena, {
    ...regionsOf(shape, rotaryFirst),
    x: x.view,
    rows,
    rowSequence: arena.upload(
      "rowSequence",
      Uint32Array.from(positions, (_, i) => i),
    ),
    rowPosition: arena.upload("rowPosition", Uint32Array.from(positions)),
    capacity,
    table: {
      cos: arena.upload("cos", cos),
      sin: arena.upload("sin", sin),
      pairs,
    },
    layout: shape.layout,
    groups,
    keyUp: keyUp.view,
    groupRows,
    latentFirst: !rotaryFirst,
    out,
    ...(shape.shape && { shape: shape.shape }),
    first: { ...regionsOf(shape, rotaryFirst).first, to: first },
    second: { ...regionsOf(shape, rotaryFirst).second, to: second },
  });
  const cached = (element: Element) => ({
    element,
    atol: 1e-6,
    rtol: element === "f16" ? 1e-3 : 1e-6,
  });
  return {
    dispatches,
    outputs: [
      {
        name: "out",
        buffer: out.buffer,
        element: "f32" as const,
        expected,
        atol: 4e-6,
        rtol: 4e-6,
      },
      {
        name: "first",
        buffer: first.buffer,
        expected: expectedFirst,
        ...cached(shape.cache[0]),
      },
      ...(rotary === 0 ? [] : [{
        name: "second",
        buffer: second.buffer,
        expected: expectedSecond,
        ...cached(shape.cache[1]),
      }]),
      ...(shape.apart ? [] : [{
        name: "x",
        buffer: x.view.buffer,
        element: "f32" as const,
        // NaN: nothing is written.
        expected: new Float64Array(x.data.length).fill(NaN),
        atol: 0,
        rtol: 0,
        keep: true,
      }]),
    ],
  };
}

/** Queries, latent and rotary key side by side. */
function regionsOf(
  { heads, nope, rotary, rank }: Sizes,
  rotaryFirst: boolean,
): Pick<AbsorbStoreArgs, "query" | "first" | "second" | "rank"> {
  const width = nope + rotary;
  const start = heads * width;
  return {
    rank,
    query: {
      start: 0,
      heads,
      width,
      rotaryStart: rotaryFirst ? 0 : nope,
      rotaryWidth: rotary,
    },
    first: { start, heads: 1, width: rank, rotaryStart: 0, rotaryWidth: 0 },
    second: {
      start: start + rank,
      heads: 1,
      width: rotary,
      rotaryStart: 0,
      rotaryWidth: rotary,
    },
  };
}

function benchCase(
  label: string,
  rows: number,
  sizes: Sizes,
  shape?: AbsorbShape,
): KernelCase {
  return {
    label: `${label}, ${rows} rows` +
      (shape === undefined ? "" : `, candidate ${describeAbsorb(shape)}`),
    needs: ["f16"],
    prepare(arena) {
      const { heads, groups, nope, rotary, rank } = sizes;
      const capacity = 8;
      const element = "f16" as const;
      const regions = regionsOf(sizes, false);
      const cache = (width: number) =>
        zeroRows(arena, { rows: rows * capacity, width, element });
      const numbers = Uint32Array.from({ length: rows }, (_, i) => i);
      const width = heads * (nope + rotary) + rank + rotary;
      return {
        dispatches: absorbStore(arena, {
          ...regions,
          x: zeroRows(arena, { rows, width }),
          rows,
          rowSequence: arena.upload("rowSequence", numbers),
          rowPosition: arena.upload(
            "rowPosition",
            new Uint32Array(rows).fill(capacity - 1),
          ),
          capacity,
          table: {
            cos: arena.buffer("cos", 2 * capacity * rotary),
            sin: arena.buffer("sin", 2 * capacity * rotary),
            pairs: rotary / 2,
          },
          layout: "half",
          groups,
          keyUp: zeroRows(arena, { rows: groups * nope, width: rank, element }),
          latentFirst: true,
          out: zeroRows(arena, { rows, width: heads * (rank + rotary) }),
          first: { ...regions.first, to: cache(rank) },
          second: { ...regions.second, to: cache(rotary) },
          ...(shape && { shape }),
        }),
        outputs: [],
      };
    },
  };
}

const LLAMA: Sizes = {
  heads: 32,
  groups: 32,
  nope: 128,
  rotary: 64,
  rank: 512,
};
const SMOLLM: Sizes = { heads: 9, groups: 3, nope: 64, rotary: 64, rank: 88 };

/** absorbStore() in the table. */
export const absorbStoreEntry: KernelEntry = {
  name: "absorb_store",
  parity: PARITY.map(parityCase),
  bench: [1, 30, 244].flatMap((rows) => [
    benchCase("LLaMA-2-7B MLA", rows, LLAMA),
    ...absorbCandidates(rows).map((shape) =>
      benchCase("LLaMA-2-7B MLA", rows, LLAMA, shape)
    ),
  ]).concat(benchCase("SmolLM2-135M MLA", 1, SMOLLM)),
};
