// Cases of gemm() that add to rows and store their norm.

import type { Arena, Dispatch } from "../../device/gpu.ts";
import type { GemmArgs } from "../gemm.ts";
import { padded } from "../kernel.ts";
import { caseMatrix, rowsOutput } from "./case_matrix.ts";
import { caseRows } from "./case_rows.ts";
import type { KernelCase } from "./kernel_case.ts";
import type { ProductShape } from "./product_case.ts";

const EPS = 1e-5;

/**
 * A parity case.
 *
 * @param shape The product; of its options: `rowsPerPart`, `bias`, `outElement` as that of the norm, `note`, `needs`, `fits`.
 * @param multiply The kernel.
 * @returns The case.
 */
export function normCase(
  shape: ProductShape,
  multiply: (arena: Arena, args: GemmArgs) => Dispatch[],
): KernelCase {
  const { rows, height, width, element, outElement = "f32", fits } = shape;
  const words = [
    `rows ${rows} x ${height}x${width} ${element}`,
    "norm",
    ...shape.rowsPerPart === undefined ? [] : [`parts of ${shape.rowsPerPart}`],
    ...shape.bias ? ["bias"] : [],
    ...outElement === "f16" ? ["norm f16"] : [],
    ...shape.note === undefined ? [] : [shape.note],
  ];
  const needs = new Set(shape.needs ?? []);
  if (shape.xElement === "f16" || outElement === "f16") needs.add("f16");
  return {
    label: words.join(", "),
    needs: [...needs],
    ...(fits && { fits }),
    prepare(arena, random) {
      const x = caseRows(arena, random, {
        rows,
        width,
        element: shape.xElement ?? "f32",
        stride: padded(width),
      });
      const weight = caseMatrix(arena, random, {
        rows: height,
        columns: width,
        element,
        std: 1 / Math.sqrt(width),
        ...(shape.rowsPerPart && { rowsPerPart: shape.rowsPerPart }),
      });
      const bias = shape.bias ? random.normal(height) : undefined;
      const scales = random.normal(height);
      // A row more than there are, to see it left alone.
      const before = caseRows(arena, random, {
        rows: rows + 1,
        poisoned: (row) => row === rows,
        width: height,
        stride: padded(height),
      });
      const norm = caseRows(arena, random, {
        rows: rows + 1,
        poisoned: (row) => row === rows,
        width: height,
        element: outElement,
        offset: 8,
        stride: padded(height),
      });
      const sums = Array.from(
        { length: rows },
        (_, i) =>
          Float64Array.from({ length: height }, (_, j) => {
            let sum = before.at(i, j) + (bias?.[j] ?? 0);
            for (let k = 0; k < width; k++) sum += weight.at(j, k) * x.at(i, k);
            return sum;
          }),
      );
      const factors = sums.map((row) => {
        const squares = row.reduce((total, sum) => total + sum * sum, 0);
        return 1 / Math.sqrt(squares / height + EPS);
      });
      return {
        dispatches: multiply(arena, {
          x: x.view,
          rows,
          weight: weight.matrix,
          ...(bias && { bias: arena.upload("bias", bias) }),
          out: before.view,
          accumulate: true,
          next: {
            weight: arena.upload("norm", scales),
            out: norm.view,
            eps: EPS,
          },
        }),
        outputs: [
          rowsOutput({
            view: before.view,
            rows,
            firstColumn: 0,
            columns: height,
            answer: (i, j) => sums[i]![j]!,
            before: before.data,
            atol: 1e-4,
            rtol: 1e-4,
          }),
          rowsOutput({
            view: norm.view,
            rows,
            firstColumn: 0,
            columns: height,
            answer: (i, j) => sums[i]![j]! * factors[i]! * scales[j]!,
            ...(outElement === "f16"
              ? { atol: 1e-3, rtol: 1e-3 }
              : { atol: 1e-4, rtol: 1e-4 }),
          }),
        ],
      };
    },
  };
}
