// Cases of rotateStore(): the three attention kinds' regions.

import type { Arena } from "../../device/gpu.ts";
import { caseRows, zeroRows } from "./case_rows.ts";
import { type Element, padded, type View } from "../kernel.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";
import { rotateStore } from "../rotate_store.ts";
import type { Region } from "../row_units.ts";

interface Shape {
  readonly label: string;
  /** Tokens of each sequence in the pass, and its position before it. */
  readonly sequences: readonly {
    readonly past: number;
    readonly rows: number;
  }[];
  readonly layout: "half" | "interleaved";
  readonly pairs: number;
  readonly query: Region;
  readonly first?: Region & { readonly element: Element };
  readonly second?: Region & { readonly element: Element };
  /** Whether rows of x begin at vectors of four. @default false */
  readonly aligned?: boolean;
}

function region(
  start: number,
  heads: number,
  width: number,
  rotaryStart: number,
  rotaryWidth: number,
): Region {
  return { start, heads, width, rotaryStart, rotaryWidth };
}

const GQA: Shape = {
  label: "GQA H 3 G 2 d 6 half",
  sequences: [{ past: 0, rows: 5 }, { past: 3, rows: 2 }],
  layout: "half",
  pairs: 3,
  query: region(0, 3, 6, 0, 6),
  first: { ...region(18, 2, 6, 0, 6), element: "f32" },
  second: { ...region(30, 2, 6, 0, 0), element: "f32" },
};

const MLA: Shape = {
  label: "MLA H 3 n 5 m 4 r 7 interleaved",
  sequences: [{ past: 7, rows: 1 }, { past: 0, rows: 4 }, { past: 2, rows: 1 }],
  layout: "interleaved",
  pairs: 2,
  query: region(0, 3, 9, 5, 4),
  first: { ...region(27, 1, 7, 0, 0), element: "f32" },
  second: { ...region(34, 1, 4, 0, 4), element: "f32" },
};

const PARITY: readonly Shape[] = [
  GQA,
  {
    ...GQA,
    label: "GQA, f16 keys, f32 values",
    first: { ...GQA.first!, element: "f16" },
  },
  MLA,
  {
    ...MLA,
    label: "MLA, f16 latent and rotary key",
    first: { ...MLA.first!, element: "f16" },
    second: { ...MLA.second!, element: "f16" },
  },
  {
    ...MLA,
    label: "MLA m 0",
    pairs: 0,
    query: region(0, 3, 5, 5, 0),
    first: { ...region(15, 1, 7, 0, 0), element: "f32" },
    second: { ...region(22, 1, 0, 0, 0), element: "f32" },
  },
  {
    ...MLA,
    label: "partial RoPE G·d 15 m 4",
    query: region(0, 0, 0, 0, 0),
    first: { ...region(12, 1, 15, 0, 4), element: "f32" },
    second: { ...region(27, 1, 15, 0, 0), element: "f16" },
  },
  {
    label: "GQA H 3 G 2 d 8 in vectors",
    aligned: true,
    sequences: GQA.sequences,
    layout: "half",
    pairs: 4,
    query: region(0, 3, 8, 0, 8),
    first: { ...region(24, 2, 8, 0, 8), element: "f32" },
    second: { ...region(40, 2, 8, 0, 0), element: "f32" },
  },
  {
    label: "8 of 20 dims in vectors, after 8 and 4 others",
    aligned: true,
    sequences: [{ past: 2, rows: 9 }, { past: 0, rows: 1 }],
    layout: "half",
    pairs: 4,
    query: region(4, 3, 20, 8, 8),
    first: { ...region(64, 2, 20, 4, 8), element: "f32" },
    second: { ...region(104, 1, 12, 0, 0), element: "f16" },
  },
  {
    label: "aligned, but of pairs that are no vectors",
    aligned: true,
    sequences: GQA.sequences,
    layout: "half",
    pairs: 2,
    query: region(0, 3, 8, 0, 4),
    first: { ...region(24, 2, 8, 0, 4), element: "f16" },
    second: { ...region(40, 2, 8, 0, 0), element: "f32" },
  },
  {
    label: "merged queries alone",
    sequences: [{ past: 1, rows: 3 }],
    layout: "interleaved",
    pairs: 2,
    query: region(0, 3, 15, 0, 4),
  },
];

function parityCase(shape: Shape): KernelCase {
  const halves = [shape.first, shape.second].some((part) =>
    part?.element === "f16"
  );
  return {
    label: shape.label,
    ...(halves ? { needs: ["f16"] } : {}),
    prepare: (arena, random) => prepare(shape, arena, random),
  };
}

function prepare(shape: Shape, arena: Arena, random: CaseRandom) {
  const { sequences, pairs, layout } = shape;
  const rowsOf = sequences.flatMap(({ past, rows }, sequence) =>
    Array.from({ length: rows }, (_, i) => ({ sequence, position: past + i }))
  );
  const capacity = Math.max(...rowsOf.map(({ position }) => position)) + 2;
  const width = Math.max(
    ...[shape.query, shape.first, shape.second].map((part) =>
      part === undefined ? 0 : part.start + part.heads * part.width
    ),
  );
  const rows = rowsOf.length;
  const offset = shape.aligned ? 4 : 3;
  const x = caseRows(arena, random, {
    rows,
    width,
    offset,
    stride: padded(width) + (shape.aligned ? 0 : 1),
  });
  // At least one: nothing may be uploaded that is empty.
  const angles = random.normal(Math.max(1, capacity * pairs));
  const cos = Float32Array.from(angles, Math.cos);
  const sin = Float32Array.from(angles, Math.sin);
  const expected = x.data.slice();
  for (const part of [shape.query, shape.first, shape.second]) {
    if (part === undefined || part.rotaryWidth === 0) continue;
    for (const [i, { position }] of rowsOf.entries()) {
      for (let h = 0; h < part.heads; h++) {
        for (let k = 0; k < pairs; k++) {
          const head = offset + i * x.view.stride + part.start +
            h * part.width +
            part.rotaryStart;
          const re = head + (layout === "half" ? k : 2 * k);
          const im = head + (layout === "half" ? k + pairs : 2 * k + 1);
          const c = cos[position * pairs + k]!;
          const s = sin[position * pairs + k]!;
          expected[re] = x.data[re]! * c - x.data[im]! * s;
          expected[im] = x.data[im]! * c + x.data[re]! * s;
        }
      }
    }
  }
  const caches = [shape.first, shape.second].map((part, index) => {
    if (part === undefined) return undefined;
    const columns = part.heads * part.width;
    const stored = new Float64Array(sequences.length * capacity * columns)
      .fill(NaN);
    for (const [i, { sequence, position }] of rowsOf.entries()) {
      for (let j = 0; j < columns; j++) {
        stored[(sequence * capacity + position) * columns + j] =
          expected[offset + i * x.view.stride + part.start + j]!;
      }
    }
    const view: View = zeroRows(arena, {
      rows: sequences.length * capacity,
      width: columns,
      element: part.element,
    });
    return { part, view, stored, name: index === 0 ? "first" : "second" };
  });
  const [first, second] = caches;
  const dispatches = rotateStore(arena, {
    x: x.view,
    rows,
    rowSequence: arena.upload(
      "rowSequence",
      Uint32Array.from(rowsOf, ({ sequence }) => sequence),
    ),
    rowPosition: arena.upload(
      "rowPosition",
      Uint32Array.from(rowsOf, ({ position }) => position),
    ),
    capacity,
    table: {
      cos: arena.upload("cos", cos),
      sin: arena.upload("sin", sin),
      pairs,
    },
    layout,
    query: shape.query,
    ...(first ? { first: { ...first.part, to: first.view } } : {}),
    ...(second ? { second: { ...second.part, to: second.view } } : {}),
  });
  return {
    dispatches,
    outputs: [
      {
        name: "x",
        buffer: x.view.buffer,
        element: "f32" as const,
        expected,
        atol: 1e-6,
        rtol: 1e-6,
        keep: true,
      },
      ...caches.flatMap((cache) =>
        cache === undefined || cache.stored.length === 0 ? [] : [{
          name: cache.name,
          buffer: cache.view.buffer,
          element: cache.part.element,
          expected: cache.stored,
          atol: 1e-6,
          rtol: cache.part.element === "f16" ? 1e-3 : 1e-6,
        }]
      ),
    ],
  };
}

function benchCase(
  label: string,
  batch: number,
  tokens: number,
  sizes: { heads: number; groups: number; headDim: number },
): KernelCase {
  return {
    label,
    needs: ["f16"],
    prepare(arena) {
      const { heads, groups, headDim } = sizes;
      const rows = batch * tokens;
      const width = (heads + 2 * groups) * headDim;
      const cacheRows = {
        rows,
        width: groups * headDim,
        element: "f16" as const,
      };
      const positions = Uint32Array.from(
        { length: rows },
        (_, i) => i % tokens,
      );
      const pairs = headDim / 2;
      const keyStart = heads * headDim;
      const valueStart = keyStart + groups * headDim;
      return {
        dispatches: rotateStore(arena, {
          x: zeroRows(arena, { rows, width }),
          rows,
          rowSequence: arena.upload(
            "rowSequence",
            positions.map((_, i) => Math.floor(i / tokens)),
          ),
          rowPosition: arena.upload("rowPosition", positions),
          capacity: tokens,
          table: {
            cos: arena.buffer("cos", 4 * tokens * pairs),
            sin: arena.buffer("sin", 4 * tokens * pairs),
            pairs,
          },
          layout: "half",
          query: region(0, heads, headDim, 0, headDim),
          first: {
            ...region(keyStart, groups, headDim, 0, headDim),
            to: zeroRows(arena, cacheRows),
          },
          second: {
            ...region(valueStart, groups, headDim, 0, 0),
            to: zeroRows(arena, cacheRows),
          },
        }),
        outputs: [],
      };
    },
  };
}

/** rotateStore() in the table. */
export const rotateStoreEntry: KernelEntry = {
  name: "rotate_store",
  parity: PARITY.map(parityCase),
  bench: [
    benchCase("SmolLM2-135M, 8 x 2048", 8, 2048, {
      heads: 9,
      groups: 3,
      headDim: 64,
    }),
    benchCase("LLaMA-2-7B decode, batch 17", 17, 1, {
      heads: 32,
      groups: 32,
      headDim: 128,
    }),
  ],
};
