// Cases of fill(): what the device makes is what the host makes, in f32 bit for bit.

import { seededNumbers } from "../../../../base/seeded_tensor.ts";
import { fill } from "../fill.ts";
import type { Element } from "../kernel.ts";
import { rowsOutput } from "./case_matrix.ts";
import { zeroRows } from "./case_rows.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";

interface Shape {
  readonly rows: number;
  readonly columns: number;
  readonly element: Element;
  readonly offset?: number;
  /** @default columns */
  readonly stride?: number;
  /** Index of the first number. @default 0 */
  readonly first?: number;
}

/** fill() in the table of kernels. */
export const fillEntry: KernelEntry = {
  name: "fill",
  parity: [
    { rows: 3, columns: 24, element: "f32" },
    { rows: 5, columns: 33, element: "f32", stride: 40, offset: 8 },
    { rows: 7, columns: 13, element: "f32", first: 2 ** 32 - 20 },
    { rows: 4, columns: 30, element: "f16", stride: 32, first: 91 },
    { rows: 3, columns: 17, element: "f16", offset: 5 },
    // More workgroups than a row of the grid holds.
    { rows: 130, columns: 2 ** 17, element: "f32", offset: 1 },
  ].map((shape) => parity(shape as Shape)),
  bench: [
    { rows: 22016, columns: 4096, element: "f16" },
    { rows: 32 * 8192, columns: 576, element: "f16" },
  ].map((shape) => bench(shape as Shape)),
};

function label(shape: Shape): string {
  const { rows, columns, element, offset = 0, stride, first = 0 } = shape;
  return `${rows}x${columns}, ${element}` +
    (stride === undefined ? "" : `, stride ${stride}`) +
    (offset === 0 ? "" : `, offset ${offset}`) +
    (first === 0 ? "" : `, first ${first}`);
}

function parity(shape: Shape): KernelCase {
  const { rows, columns, element, first = 0 } = shape;
  return {
    label: label(shape),
    needs: element === "f16" ? ["f16"] : [],
    prepare(arena) {
      const view = zeroRows(arena, { ...shape, width: columns });
      const seeded = { seed: 0x9e3779b9, scale: Math.fround(1.7), first };
      const numbers = seededNumbers(seeded, rows * columns);
      const aligned = view.offset % 4 === 0 && view.stride % 4 === 0;
      const padded = aligned ? Math.ceil(columns / 4) * 4 : columns;
      // A device may round a half either way, and take a subnormal one for 0.
      const isHalf = element === "f16";
      return {
        dispatches: fill(arena, { out: view, rows, columns, seeded }),
        outputs: [rowsOutput({
          view,
          rows,
          columns: padded,
          answer: (i, j) => j < columns ? numbers[i * columns + j]! : 0,
          atol: isHalf ? 2 ** -14 : 0,
          rtol: isHalf ? 2 ** -10 : 0,
        })],
      };
    },
  };
}

function bench(shape: Shape): KernelCase {
  const { rows, columns } = shape;
  return {
    label: label(shape),
    needs: shape.element === "f16" ? ["f16"] : [],
    prepare: (arena) => ({
      dispatches: fill(arena, {
        out: zeroRows(arena, { ...shape, width: columns }),
        rows,
        columns,
        seeded: { seed: 1, scale: 1, first: 0 },
      }),
      outputs: [],
    }),
  };
}
