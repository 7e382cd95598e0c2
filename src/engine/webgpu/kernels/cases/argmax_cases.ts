import { argmax, NO_TOKEN } from "../argmax.ts";
import { type Element, ELEMENT_BYTES, padded } from "../kernel.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";

/** Rows of logits. */
interface Shape {
  readonly rows: number;
  readonly columns: number;
  readonly chunk?: number;
  readonly element: Element;
  readonly offset?: number;
  readonly gap?: number;
  /** What is special about it, in words, and how to make the logits so. */
  readonly with?: readonly [
    what: string,
    set: (row: Float32Array, r: number) => void,
  ];
}

function parity(shape: Shape): KernelCase {
  const { rows, columns, chunk, element, offset = 0, gap = 0 } = shape;
  return {
    label: `rows ${rows}, ${columns} columns by ${chunk ?? "default"}, ` +
      element + (offset + gap > 0 ? `, offset ${offset}, gap ${gap}` : "") +
      (shape.with === undefined ? "" : `, ${shape.with[0]}`),
    needs: element === "f16" ? ["f16"] : [],
    prepare(arena, random) {
      const stride = padded(columns) + gap;
      // The greatest numbers of all lie beside the columns.
      const data = new (element === "f16" ? Float16Array : Float32Array)(
        offset + rows * stride,
      ).fill(1000);
      const expected = new Float64Array(rows + 2).fill(NaN);
      for (let r = 0; r < rows; r++) {
        const row = random.normal(columns);
        shape.with?.[1](row, r);
        data.set(row, offset + r * stride);
        expected[r] = greatest(
          data.subarray(offset + r * stride, offset + r * stride + columns),
        );
      }
      const tokens = arena.buffer("tokens", 4 * (rows + 2));
      const before = random.integers(rows, 1000);
      const lengths = arena.upload("lengths", before);
      return {
        dispatches: argmax(arena, {
          logits: {
            buffer: arena.upload("logits", data),
            element,
            offset,
            stride,
          },
          rows,
          columns,
          tokens,
          lengths,
          threads: 64,
          ...(chunk === undefined ? {} : { chunk }),
        }),
        outputs: [
          {
            name: "tokens",
            buffer: tokens,
            element: "u32",
            expected,
            atol: 0,
            rtol: 0,
          },
          {
            name: "lengths",
            buffer: lengths,
            element: "u32",
            expected: Float64Array.from(before, (n) => n + 1),
            atol: 0,
            rtol: 0,
            keep: true,
          },
        ],
      };
    },
  };
}

function greatest(row: ArrayLike<number>): number {
  let best = 0;
  for (let j = 0; j < row.length; j++) {
    if (Number.isNaN(row[j])) return NO_TOKEN;
    if (row[j]! > row[best]!) best = j;
  }
  return best;
}

function bench(rows: number, columns: number): KernelCase {
  return {
    label: `rows ${rows}, ${columns} columns, f32`,
    prepare(arena) {
      const stride = padded(columns);
      return {
        dispatches: argmax(arena, {
          logits: {
            buffer: arena.buffer("logits", rows * stride * ELEMENT_BYTES.f32),
            element: "f32",
            offset: 0,
            stride,
          },
          rows,
          columns,
          tokens: arena.buffer("tokens", rows * 4),
        }),
        outputs: [],
      };
    },
  };
}

const equals: Shape["with"] = ["equals", (row, r) => {
  row.fill(-Infinity);
  for (const at of [250 - r, 130 + r, 131 + r]) row[at] = 5;
}];

/** The greedy token. */
export const argmaxEntry: KernelEntry = {
  name: "argmax",
  parity: [
    parity({ rows: 1, columns: 1, element: "f32" }),
    parity({ rows: 3, columns: 5003, element: "f32" }),
    parity({ rows: 5, columns: 1003, chunk: 128, element: "f32" }),
    parity({
      rows: 3,
      columns: 261,
      chunk: 64,
      element: "f32",
      offset: 5,
      gap: 2,
    }),
    parity({
      rows: 4,
      columns: 261,
      chunk: 64,
      element: "f32",
      with: equals,
    }),
    parity({
      rows: 4,
      columns: 261,
      chunk: 64,
      element: "f32",
      gap: 1,
      with: equals,
    }),
    parity({
      rows: 3,
      columns: 130,
      chunk: 64,
      element: "f32",
      with: ["all below zero", (row) => row.forEach((x, j) => row[j] = x - 50)],
    }),
    parity({
      rows: 2,
      columns: 70,
      chunk: 64,
      element: "f32",
      with: ["zeros of both signs", (row, r) => {
        row.fill(-1);
        row[66 - r] = 0;
        row[r] = -0;
      }],
    }),
    parity({
      rows: 3,
      columns: 130,
      chunk: 64,
      element: "f32",
      with: ["a NaN", (row, r) => row[40 * r] = NaN],
    }),
    parity({
      rows: 2,
      columns: 65,
      chunk: 64,
      element: "f32",
      with: ["infinities", (row, r) => {
        row.fill(-Infinity);
        if (r > 0) row[64] = Infinity;
      }],
    }),
    parity({ rows: 3, columns: 517, chunk: 128, element: "f16" }),
    parity({
      rows: 3,
      columns: 517,
      chunk: 128,
      element: "f16",
      offset: 3,
      gap: 1,
      with: ["a NaN", (row, r) => row[200 * r] = NaN],
    }),
  ],
  bench: [
    bench(1, 32000),
    bench(1, 151936),
    bench(32, 151936),
    bench(244, 32000),
  ],
};
