import type { Arena } from "../../device/gpu.ts";
import {
  divergence,
  divergencePartial,
  divergenceState,
} from "../divergence.ts";
import { type Element, padded, type View } from "../kernel.ts";
import { zeroRows } from "./case_rows.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";

/** Two vocabularies of logits in chunks of columns. */
interface Shape {
  readonly rows: number;
  readonly vocabulary: number;
  /** Columns of a chunk; the last one may have fewer. */
  readonly chunk: number;
  readonly element?: Element;
  /** Elements before the first row, and more from row to row. */
  readonly offset?: number;
  readonly gap?: number;
  /** Standard deviation of logits. */
  readonly std?: number;
  /** Of the other model's logits less the original's. */
  readonly apart?: number;
  /** What is special about it, in words, and how to make the logits so. */
  readonly with?: readonly [
    what: string,
    set: (row: Float32Array, r: number) => void,
  ];
  readonly atol?: number;
}

function parity(shape: Shape): KernelCase {
  const { rows, vocabulary, chunk, element = "f32" } = shape;
  const { offset = 0, gap = 0, std = 3, apart = 1, atol = 5e-6 } = shape;
  return {
    label: `rows ${rows}, V ${vocabulary} by ${chunk}, ${element}, ` +
      `std ${std}, ${apart} apart` +
      (offset + gap > 0 ? `, offset ${offset}, gap ${gap}` : "") +
      (shape.with === undefined ? "" : `, ${shape.with[0]}`),
    needs: element === "f16" ? ["f16"] : [],
    prepare(arena, random) {
      const original = random.normal(rows * vocabulary, std);
      const other = random.normal(rows * vocabulary, apart)
        .map((value, i) => original[i]! + value);
      for (const values of [original, other]) {
        for (let r = 0; r < rows; r++) {
          shape.with?.[1](
            values.subarray(r * vocabulary, (r + 1) * vocabulary),
            r,
          );
        }
        if (element === "f16") values.set(new Float16Array(values));
      }
      const state = divergenceState(arena, rows);
      const out = arena.buffer("divergences", (2 * rows + 3) * 4);
      const dispatches = [];
      for (let first = 0; first < vocabulary; first += chunk) {
        const columns = Math.min(chunk, vocabulary - first);
        const place = { rows, first, columns, vocabulary };
        const stride = padded(chunk) + gap;
        const view = (values: Float32Array): View => ({
          buffer: arena.upload(
            "logits",
            spread(
              values,
              place,
              new (element === "f16" ? Float16Array : Float32Array)(
                offset + rows * stride,
              ).fill(NaN),
              { offset, stride },
            ),
          ),
          element,
          offset,
          stride,
        });
        dispatches.push(...divergencePartial(arena, {
          original: view(original),
          other: view(other),
          rows,
          columns,
          firstColumn: first,
          state,
          first: first === 0,
          threads: 64,
        }));
      }
      dispatches.push(...divergence(arena, { state, rows, out }));
      const expected = new Float64Array(2 * rows + 3).fill(NaN);
      for (let r = 0; r < rows; r++) {
        const range = [r * vocabulary, (r + 1) * vocabulary] as const;
        expected.set(
          compare(original.subarray(...range), other.subarray(...range)),
          2 * r,
        );
      }
      return {
        dispatches,
        outputs: [{
          name: "divergences",
          buffer: out,
          element: "f32",
          expected,
          atol,
          rtol: 2e-6,
        }],
      };
    },
  };
}

/** Puts a chunk's columns where the kernel reads them; what lies beside stays as it is. */
function spread<T extends Float16Array | Float32Array>(
  values: Float32Array,
  place: { rows: number; first: number; columns: number; vocabulary: number },
  data: T,
  { offset, stride }: { offset: number; stride: number },
): T {
  const { rows, first, columns, vocabulary } = place;
  for (let r = 0; r < rows; r++) {
    const row = r * vocabulary + first;
    data.set(values.subarray(row, row + columns), offset + r * stride);
  }
  return data;
}

/** KL(a || b) and agreement of two rows. */
function compare(a: Float32Array, b: Float32Array): [number, number] {
  const [p, q] = [a, b].map((row) => {
    const maximum = row.reduce((x, y) => Math.max(x, y));
    const sum = row.reduce((total, x) => total + Math.exp(x - maximum), 0);
    return Float64Array.from(row, (x) => x - maximum - Math.log(sum));
  }) as [Float64Array, Float64Array];
  const kl = p.reduce(
    (total, log, i) => total + Math.exp(log) * (log - q[i]!),
    0,
  );
  return [kl, Number(greatest(a) === greatest(b))];
}

function greatest(row: Float32Array): number {
  return row.reduce((best, x, i) => x > row[best]! ? i : best, 0);
}

function bench(rows: number, columns: number, element: Element): KernelCase {
  return {
    label: `rows ${rows}, ${columns} columns, ${element}`,
    needs: element === "f16" ? ["f16"] : [],
    prepare(arena: Arena) {
      const options = {
        rows,
        width: columns,
        stride: padded(columns),
        element,
      };
      return {
        dispatches: divergencePartial(arena, {
          original: zeroRows(arena, options),
          other: zeroRows(arena, options),
          rows,
          columns,
          firstColumn: 0,
          state: divergenceState(arena, rows),
          first: true,
        }),
        outputs: [],
      };
    },
  };
}

/** Divergence of two models over a vocabulary in chunks. */
export const divergenceEntry: KernelEntry = {
  name: "divergence",
  parity: [
    parity({ rows: 1, vocabulary: 1, chunk: 1 }),
    parity({ rows: 2, vocabulary: 2, chunk: 2 }),
    parity({ rows: 5, vocabulary: 1003, chunk: 1003 }),
    parity({ rows: 67, vocabulary: 301, chunk: 120, apart: 0.3 }),
    parity({ rows: 3, vocabulary: 259, chunk: 87, offset: 3, gap: 1 }),
    // Two models that are one: nothing is left of the differences.
    parity({ rows: 4, vocabulary: 515, chunk: 200, apart: 0, atol: 1e-6 }),
    // Far apart and sharp: a row's difference may be the whole of its logits.
    parity({
      rows: 4,
      vocabulary: 515,
      chunk: 200,
      std: 30,
      apart: 40,
      atol: 5e-5,
    }),
    parity({
      rows: 4,
      vocabulary: 261,
      chunk: 64,
      with: ["equals within and across chunks", (row, r) => {
        for (const at of [250 - r, 130 + r, 131 + r]) row[at] = 20;
      }],
    }),
    parity({ rows: 5, vocabulary: 517, chunk: 130, element: "f16" }),
    parity({
      rows: 4,
      vocabulary: 517,
      chunk: 131,
      element: "f16",
      offset: 1,
      gap: 3,
    }),
  ],
  bench: [
    bench(2048, 32000, "f32"),
    bench(2048, 16384, "f32"),
    bench(2048, 16384, "f16"),
  ],
};
