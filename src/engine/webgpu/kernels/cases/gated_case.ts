// Cases of gemm() that store silu(gate)·up.

import { fromFloat32, toFloat32 } from "../../../../base/dtype.ts";
import type { Arena, Dispatch } from "../../device/gpu.ts";
import type { GemmArgs } from "../gemm.ts";
import { caseMatrix, rowsOutput } from "./case_matrix.ts";
import { caseRows } from "./case_rows.ts";
import { padded } from "../kernel.ts";
import type { KernelCase } from "./kernel_case.ts";
import type { ProductShape } from "./product_case.ts";

/**
 * A parity case.
 *
 * @param shape The product; of its options: element types and offsets of x and out, `note`, `fits`, `needs`.
 * @param multiply The kernel.
 * @returns The case.
 */
export function gatedCase(
  shape: ProductShape,
  multiply: (arena: Arena, args: GemmArgs) => Dispatch[],
): KernelCase {
  const { rows, height, width, element, outElement = "f32", fits } = shape;
  const xElement = shape.xElement ?? "f32";
  const words = [
    `rows ${rows} x ${height}x${width} ${element}`,
    "gated",
    ...xElement === "f16" ? ["x f16"] : [],
    ...outElement === "f16" ? ["out f16"] : [],
    ...shape.note === undefined ? [] : [shape.note],
  ];
  const needs = new Set(shape.needs ?? []);
  if (xElement === "f16" || outElement === "f16") needs.add("f16");
  return {
    label: words.join(", "),
    needs: [...needs],
    ...(fits && { fits }),
    prepare(arena, random) {
      const x = caseRows(arena, random, {
        rows,
        width,
        element: xElement,
        offset: shape.xOffset ?? 0,
        stride: padded(width),
        std: shape.std ?? 1,
      });
      // Matrices take halves.
      const inputs = toFloat32(
        fromFloat32(
          Float32Array.from(
            { length: rows * width },
            (_, n) => x.at(Math.floor(n / width), n % width),
          ),
          "f16",
        ),
        "f16",
      );
      const weight = caseMatrix(arena, random, {
        rows: height,
        columns: width,
        element,
        std: 1 / Math.sqrt(width),
      });
      const half = height / 2;
      // A row more than there are, to see it left alone.
      const out = caseRows(arena, random, {
        rows: rows + 1,
        poisoned: (row) => row === rows,
        width: half,
        element: outElement,
        offset: shape.outOffset ?? 0,
        stride: padded(half),
        std: 1,
      });
      const product = (i: number, row: number): number => {
        let sum = 0;
        for (let k = 0; k < width; k++) {
          sum += weight.at(row, k) * inputs[i * width + k]!;
        }
        return sum;
      };
      return {
        dispatches: multiply(arena, {
          x: x.view,
          rows,
          weight: weight.matrix,
          out: out.view,
          gated: true,
        }),
        outputs: [rowsOutput({
          view: out.view,
          rows,
          firstColumn: 0,
          columns: half,
          answer: (i, j) => {
            const gate = product(i, j);
            return gate / (1 + Math.exp(-gate)) * product(i, half + j);
          },
          ...(outElement === "f16"
            ? { atol: 1e-3, rtol: 1e-3 }
            : { atol: 1e-4, rtol: 1e-4 }),
        })],
      };
    },
  };
}
