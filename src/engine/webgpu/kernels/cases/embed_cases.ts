// Cases of embed(): tables in parts, odd widths, tokens in both parts.

import { caseMatrix, rowsOutput, zeroMatrix } from "./case_matrix.ts";
import { zeroRows } from "./case_rows.ts";
import { embed } from "../embed.ts";
import type { Element } from "../kernel.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";

interface Shape {
  readonly rows: number;
  readonly vocabulary: number;
  readonly width: number;
  readonly element: Element;
  readonly rowsPerPart?: number;
  readonly offset?: number;
  readonly stride?: number;
  readonly outElement?: Element;
}

/** embed() in the table of kernels. */
export const embedEntry: KernelEntry = {
  name: "embed",
  parity: [
    { rows: 5, vocabulary: 13, width: 24, element: "f32" },
    { rows: 7, vocabulary: 29, width: 33, element: "f16", rowsPerPart: 11 },
    {
      rows: 3,
      vocabulary: 301,
      width: 300,
      element: "f32",
      rowsPerPart: 100,
      offset: 5,
      stride: 311,
    },
    { rows: 4, vocabulary: 9, width: 17, element: "f16", outElement: "f16" },
  ].map((shape) => parity(shape as Shape)),
  bench: [
    { rows: 1, vocabulary: 49152, width: 576, element: "f16" },
    { rows: 128, vocabulary: 49152, width: 576, element: "f32" },
    { rows: 1, vocabulary: 32000, width: 4096, element: "f16" },
    { rows: 2048, vocabulary: 32000, width: 4096, element: "f16" },
  ].map((shape) => bench(shape as Shape)),
};

function label(shape: Shape): string {
  const { rows, vocabulary, width, element, rowsPerPart } = shape;
  return `rows ${rows}, V ${vocabulary}, D ${width}, ${element}` +
    (rowsPerPart === undefined ? "" : `, parts of ${rowsPerPart}`);
}

function parity(shape: Shape): KernelCase {
  const { rows, vocabulary, width, outElement = "f32" } = shape;
  return {
    label: label(shape),
    needs: outElement === "f16" ? ["f16"] : [],
    prepare(arena, random) {
      const table = caseMatrix(arena, random, {
        ...shape,
        rows: vocabulary,
        columns: width,
      });
      const tokens = random.integers(rows, vocabulary);
      tokens[0] = 0;
      tokens[rows - 1] = vocabulary - 1;
      const view = zeroRows(arena, { ...shape, element: outElement });
      return {
        dispatches: embed(arena, {
          table: table.matrix,
          tokens: arena.upload("tokens", tokens),
          out: view,
          rows,
        }),
        outputs: [rowsOutput({
          view,
          rows,
          columns: width,
          answer: (i, j) => table.at(tokens[i]!, j),
          atol: outElement === "f16" ? 1e-3 : 0,
          rtol: outElement === "f16" ? 1e-3 : 0,
        })],
      };
    },
  };
}

function bench(shape: Shape): KernelCase {
  const { rows, vocabulary, width } = shape;
  return {
    label: label(shape),
    prepare(arena, random) {
      return {
        dispatches: embed(arena, {
          table: zeroMatrix(arena, {
            ...shape,
            rows: vocabulary,
            columns: width,
          }),
          tokens: arena.upload("tokens", random.integers(rows, vocabulary)),
          out: zeroRows(arena, { rows, width }),
          rows,
        }),
        outputs: [],
      };
    },
  };
}
