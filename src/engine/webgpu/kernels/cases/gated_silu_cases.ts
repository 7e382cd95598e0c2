// Cases of gatedSilu(): odd widths, large gates of both signs.

import { rowsOutput } from "./case_matrix.ts";
import { caseRows, zeroRows } from "./case_rows.ts";
import { gatedSilu } from "../gated_silu.ts";
import { type Element, padded } from "../kernel.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";

interface Shape {
  readonly rows: number;
  readonly width: number;
  readonly offset?: number;
  readonly outElement?: Element;
  /** Standard deviation of the input. */
  readonly std?: number;
}

/** gatedSilu() in the table of kernels. */
export const gatedSiluEntry: KernelEntry = {
  name: "gated_silu",
  parity: ([
    { rows: 3, width: 40 },
    { rows: 5, width: 33, std: 60 },
    { rows: 2, width: 1040, std: 60, offset: 8 },
    { rows: 3, width: 6, outElement: "f16" },
    { rows: 2, width: 8, outElement: "f16", std: 1000 },
  ] satisfies Shape[]).map(parity),
  bench: [[1, 1536], [1, 11008], [128, 11008], [2048, 1536], [2048, 11008]]
    .map(([rows, width]) => bench(rows!, width!)),
};

/** silu(x) in f64. */
export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function clamp(value: number, element: Element): number {
  if (element === "f32") return value;
  return Math.max(-65504, Math.min(65504, value));
}

function parity(shape: Shape): KernelCase {
  const { rows, width, offset = 0, outElement = "f32", std = 1 } = shape;
  return {
    label: `rows ${rows}, I ${width}, std ${std}, ${outElement}`,
    needs: outElement === "f16" ? ["f16"] : [],
    prepare(arena, random) {
      const stride = padded(2 * width);
      const options = { rows, width: 2 * width, stride, offset, std };
      const x = caseRows(arena, random, options);
      const view = zeroRows(arena, {
        rows,
        width,
        offset,
        stride: padded(width),
        element: outElement,
      });
      return {
        dispatches: gatedSilu(arena, { x: x.view, out: view, rows, width }),
        outputs: [rowsOutput({
          view,
          rows,
          columns: width,
          answer: (i, j) =>
            clamp(silu(x.at(i, j)) * x.at(i, width + j), outElement),
          atol: outElement === "f16" ? 1e-4 : 1e-6,
          rtol: outElement === "f16" ? 1e-3 : 1e-5,
        })],
      };
    },
  };
}

function bench(rows: number, width: number): KernelCase {
  return {
    label: `rows ${rows}, I ${width}`,
    prepare: (arena) => ({
      dispatches: gatedSilu(arena, {
        x: zeroRows(arena, { rows, width: 2 * width }),
        out: zeroRows(arena, { rows, width }),
        rows,
        width,
      }),
      outputs: [],
    }),
  };
}
