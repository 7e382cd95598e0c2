import { gram, type GramTile } from "../gram.ts";
import { type Element, ELEMENT_BYTES, padded } from "../kernel.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";

/** Rows of activations. */
interface Shape {
  readonly rows: number;
  readonly width: number;
  readonly element: Element;
  readonly weights?: boolean;
  readonly accumulate?: boolean;
  readonly offset?: number;
  readonly gap?: number;
  /** Mean of the activations: their sums then grow with the rows. */
  readonly mean?: number;
  readonly rtol?: number;
  readonly tile?: GramTile;
}

function parity(shape: Shape): KernelCase {
  const { rows, width, element, offset = 0, gap = 0, mean = 0 } = shape;
  return {
    label: `T ${rows}, D ${width}, ${element}` +
      (shape.tile === undefined ? "" : `, tile ${shape.tile.tile}`) +
      (shape.weights ? ", weights" : "") +
      (shape.accumulate ? ", added" : "") +
      (offset + gap > 0 ? `, offset ${offset}, gap ${gap}` : "") +
      (mean === 0 ? "" : `, mean ${mean}`),
    needs: element === "f16" ? ["f16"] : [],
    prepare(arena, random) {
      const stride = padded(width) + gap;
      const data = new (element === "f16" ? Float16Array : Float32Array)(
        offset + rows * stride,
      ).fill(NaN);
      for (let t = 0; t < rows; t++) {
        const row = random.normal(width).map((x) => x + mean);
        data.set(row, offset + t * stride);
      }
      const size = width + 1;
      const weights = random.normal(rows).map(Math.abs);
      const before = random.normal(size * size, 10);
      // The kernel keeps the sum symmetric; it starts from the upper half.
      const start = shape.accumulate ? before : new Float32Array(size * size);
      const out = shape.accumulate
        ? arena.upload("moments", before)
        : arena.buffer("moments", size * size * 4);
      return {
        dispatches: gram(arena, {
          x: {
            buffer: arena.upload("rows", data),
            element,
            offset,
            stride,
          },
          rows,
          width,
          ...(shape.weights
            ? { weights: arena.upload("weights", weights) }
            : {}),
          out,
          accumulate: shape.accumulate ?? false,
          ...(shape.tile === undefined ? {} : { tile: shape.tile }),
        }),
        outputs: [{
          name: "moments",
          buffer: out,
          element: "f32",
          expected: moments(
            (t, i) => i === width ? 1 : data[offset + t * stride + i]!,
            (t) => shape.weights ? weights[t]! : 1,
            { rows, size, start },
          ),
          atol: shape.rtol === undefined ? 1e-4 : 0,
          rtol: shape.rtol ?? 1e-6,
          ...(shape.accumulate ? { keep: true } : {}),
        }],
      };
    },
  };
}

function moments(
  h: (t: number, i: number) => number,
  weight: (t: number) => number,
  { rows, size, start }: {
    rows: number;
    size: number;
    start: Float32Array;
  },
): Float64Array {
  const sums = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      let sum = start[i * size + j]!;
      for (let t = 0; t < rows; t++) sum += weight(t) * h(t, i) * h(t, j);
      sums[i * size + j] = sums[j * size + i] = sum;
    }
  }
  return sums;
}

function bench(
  rows: number,
  width: number,
  element: Element,
  tile: GramTile,
): KernelCase {
  return {
    label:
      `T ${rows}, D ${width}, ${element}, tile ${tile.tile} step ${tile.step}`,
    needs: element === "f16" ? ["f16"] : [],
    prepare(arena) {
      const stride = padded(width);
      return {
        dispatches: gram(arena, {
          x: {
            buffer: arena.buffer(
              "rows",
              rows * stride * ELEMENT_BYTES[element],
            ),
            element,
            offset: 0,
            stride,
          },
          rows,
          width,
          out: arena.buffer("moments", (width + 1) ** 2 * 4),
          accumulate: true,
          tile,
        }),
        outputs: [],
      };
    },
  };
}

/** Second moments of activations. */
export const gramEntry: KernelEntry = {
  name: "gram",
  parity: [
    parity({ rows: 1, width: 1, element: "f32" }),
    parity({ rows: 37, width: 67, element: "f32" }),
    parity({ rows: 37, width: 64, element: "f32", weights: true }),
    parity({ rows: 300, width: 33, element: "f32", accumulate: true }),
    parity({
      rows: 19,
      width: 130,
      element: "f32",
      weights: true,
      accumulate: true,
      offset: 3,
      gap: 2,
    }),
    parity({
      rows: 21,
      width: 131,
      element: "f32",
      weights: true,
      tile: { tile: 128, step: 4 },
    }),
    // A running f32 sum is off by 3e-6 here.
    parity({ rows: 20_000, width: 3, element: "f32", mean: 3, rtol: 1e-6 }),
    parity({ rows: 29, width: 70, element: "f16", weights: true }),
    parity({ rows: 29, width: 70, element: "f16", offset: 1, gap: 1 }),
  ],
  bench: [
    bench(2048, 576, "f32", { tile: 64, step: 16 }),
    bench(2048, 576, "f32", { tile: 128, step: 16 }),
    bench(2048, 2048, "f32", { tile: 64, step: 16 }),
    bench(2048, 2048, "f32", { tile: 128, step: 16 }),
    bench(2048, 4096, "f32", { tile: 128, step: 8 }),
    bench(2048, 4096, "f32", { tile: 128, step: 16 }),
    bench(2048, 4096, "f16", { tile: 128, step: 16 }),
  ],
};
