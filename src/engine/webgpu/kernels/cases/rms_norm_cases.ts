// Cases of rmsNorm(): vectors and single numbers, rows longer and shorter than a
// workgroup, views inside wider rows.

import { rowsOutput } from "./case_matrix.ts";
import { caseRows, zeroRows } from "./case_rows.ts";
import type { Element } from "../kernel.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";
import { rmsNorm } from "../rms_norm.ts";

const EPS = 1e-5;

interface Shape {
  readonly rows: number;
  readonly width: number;
  readonly offset?: number;
  readonly stride?: number;
  readonly outElement?: Element;
  readonly threads?: number;
  /** Standard deviation of the input. */
  readonly std?: number;
}

/** rmsNorm() in the table of kernels. */
export const rmsNormEntry: KernelEntry = {
  name: "rms_norm",
  parity: ([
    { rows: 3, width: 64 },
    { rows: 5, width: 33, stride: 40 },
    { rows: 2, width: 1100, offset: 8, stride: 1104, threads: 256 },
    { rows: 3, width: 1027, offset: 1, stride: 1031, std: 1e3 },
    { rows: 2, width: 48, std: 1e-4 },
    { rows: 4, width: 52, outElement: "f16" },
  ] satisfies Shape[]).map(parity),
  bench: [[1, 576], [1, 4096], [128, 4096], [2048, 576], [2048, 4096]].map(
    ([rows, width]) => bench(rows!, width!),
  ),
};

function parity(shape: Shape): KernelCase {
  const { rows, width, offset = 0, outElement = "f32", std = 1, threads } =
    shape;
  return {
    label: `rows ${rows}, D ${width}, offset ${offset}, std ${std}, ` +
      outElement,
    needs: outElement === "f16" ? ["f16"] : [],
    prepare(arena, random) {
      const x = caseRows(arena, random, shape);
      const weight = random.normal(width);
      const view = zeroRows(arena, { ...shape, element: outElement });
      const scales = Array.from({ length: rows }, (_, i) => {
        let sum = 0;
        for (let j = 0; j < width; j++) sum += x.at(i, j) ** 2;
        return 1 / Math.sqrt(sum / width + EPS);
      });
      return {
        dispatches: rmsNorm(arena, {
          x: x.view,
          weight: arena.upload("weight", weight),
          out: view,
          rows,
          width,
          eps: EPS,
          ...(threads !== undefined && { threads }),
        }),
        outputs: [rowsOutput({
          view,
          rows,
          columns: width,
          answer: (i, j) => x.at(i, j) * scales[i]! * weight[j]!,
          atol: outElement === "f16" ? 1e-4 : 1e-6,
          rtol: outElement === "f16" ? 1e-3 : 3e-6,
        })],
      };
    },
  };
}

function bench(rows: number, width: number): KernelCase {
  return {
    label: `rows ${rows}, D ${width}`,
    prepare: (arena) => ({
      dispatches: rmsNorm(arena, {
        x: zeroRows(arena, { rows, width }),
        weight: arena.buffer("weight", 4 * width),
        out: zeroRows(arena, { rows, width }),
        rows,
        width,
        eps: EPS,
      }),
      outputs: [],
    }),
  };
}
