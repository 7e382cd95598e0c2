// Cases of absorbStore(): one dispatch, and the two that it is where rows are not
// whole loads.

import type { Arena, Dispatch } from "../../device/gpu.ts";
import { absorbStore, type AbsorbStoreArgs } from "../absorb_store.ts";
import type { AbsorbShape } from "../absorb_tuning.ts";
import { type MatrixTile, tileName } from "../gemm_tile.ts";
import { type Element, padded } from "../kernel.ts";
import { fitsProduct } from "../latent_product.ts";
import { keyTiles } from "../latent_product_tuning.ts";
import { type AbsorbSizes, regionsOf } from "./absorb_regions.ts";
import { ABSORB_STORE_BENCH } from "./absorb_store_bench_cases.ts";
import { caseRows, zeroRows } from "./case_rows.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

/** Sizes of a case. */
export interface AbsorbStoreShape extends AbsorbSizes {
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
  /** By subgroup matrices: x is rounded to halves. */
  readonly tile?: MatrixTile;
}

/** Makes the dispatches under test. */
export type Store = (arena: Arena, args: AbsorbStoreArgs) => Dispatch[];

const BASE: AbsorbStoreShape = {
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

const PARITY: readonly AbsorbStoreShape[] = [
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

const MATRIX: readonly AbsorbStoreShape[] = [9, 30, 61].flatMap((rows) =>
  keyTiles(rows).map((tile, i) => ({
    ...BASE,
    label: `${rows} rows`,
    positions: Array.from({ length: rows }, (_, t) => t % 3),
    nope: 128,
    rotary: 64,
    // The last tile of columns is cut short.
    rank: i === 0 ? 328 : 256,
    rotaryFirst: i === 1,
    element: "f16",
    cache: ["f16", "f16"],
    tile,
  }))
);

/**
 * A case of random numbers.
 *
 * @param shape Sizes.
 * @param store Makes the dispatches under test; its device's features are then up to the caller. @default absorbStore
 */
export function absorbStoreCase(
  shape: AbsorbStoreShape,
  store?: Store,
): KernelCase {
  const { tile, nope } = shape;
  const halves = [shape.element, ...shape.cache].includes("f16");
  const prepared = (arena: Arena, random: CaseRandom) =>
    prepare(shape, arena, random, store ?? absorbStore);
  if (tile === undefined) {
    return {
      label: shape.label,
      ...(halves ? { needs: ["f16"] } : {}),
      prepare: prepared,
    };
  }
  const product = { keys: true, k: nope, splits: 1, means: true };
  return {
    label: `matrix, ${shape.label}, ${tileName(tile)}`,
    needs: store === undefined
      ? ["f16", "subgroups", "subgroupMatrix"]
      : ["f16"],
    ...(store === undefined
      ? { fits: (gpu) => fitsProduct(gpu, tile, product) }
      : {}),
    prepare: prepared,
  };
}

function prepare(
  shape: AbsorbStoreShape,
  arena: Arena,
  random: CaseRandom,
  store: Store,
) {
  const { heads, groups, nope, rotary, rank, positions } = shape;
  const { rotaryFirst = false } = shape;
  const rows = positions.length;
  const width = nope + rotary;
  const pairs = rotary / 2;
  const capacity = Math.max(...positions) + 2;
  const projection = heads * width + rank + rotary;
  // Matrices read whole vectors.
  const offset = shape.tile === undefined ? 3 : 4;
  const more = shape.tile === undefined ? 1 : 8;
  const round = shape.tile === undefined ? (q: number) => q : Math.f16round;
  const x = caseRows(arena, random, {
    rows,
    width: projection,
    offset,
    stride: padded(projection) + more,
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
          sum += round(x.at(t, h * width + nopeAt + i)) * keyUp.at(up + i, j);
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
  const dispatches = store(arena, {
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
    ...(shape.tile && { tile: shape.tile }),
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
        atol: shape.tile === undefined ? 4e-6 : 1e-4,
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

/** absorbStore() in the table. */
export const absorbStoreEntry: KernelEntry = {
  name: "absorb_store",
  parity: [...PARITY, ...MATRIX].map((shape) => absorbStoreCase(shape)),
  bench: ABSORB_STORE_BENCH,
};
