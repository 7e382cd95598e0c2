// Cases of embed(): tables in parts, odd widths, tokens in both parts.

import { caseMatrix, rowsOutput, zeroMatrix } from "./case_matrix.ts";
import { zeroRows } from "./case_rows.ts";
import type { Arena } from "../../device/gpu.ts";
import { embed } from "../embed.ts";
import { type NextNorm, squaresOf } from "../gemv_subgroup.ts";
import type { Element } from "../kernel.ts";
import type {
  CaseOutput,
  CaseRandom,
  KernelCase,
  KernelEntry,
} from "./kernel_case.ts";

interface Shape {
  readonly rows: number;
  readonly vocabulary: number;
  readonly width: number;
  readonly element: Element;
  readonly rowsPerPart?: number;
  readonly offset?: number;
  readonly stride?: number;
  readonly outElement?: Element;
  /** Element of what is made for the next norm. */
  readonly next?: Element;
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
    { rows: 3, vocabulary: 7, width: 300, element: "f32", next: "f32" },
    {
      rows: 2,
      vocabulary: 9,
      width: 45,
      element: "f16",
      rowsPerPart: 5,
      next: "f16",
    },
  ].map((shape) => parity(shape as Shape)),
  bench: [
    { rows: 1, vocabulary: 49152, width: 576, element: "f16" },
    { rows: 128, vocabulary: 49152, width: 576, element: "f32" },
    { rows: 1, vocabulary: 32000, width: 4096, element: "f16" },
    { rows: 2048, vocabulary: 32000, width: 4096, element: "f16" },
  ].map((shape) => bench(shape as Shape)),
};

function label(shape: Shape): string {
  const { rows, vocabulary, width, element, rowsPerPart, next } = shape;
  return `rows ${rows}, V ${vocabulary}, D ${width}, ${element}` +
    (rowsPerPart === undefined ? "" : `, parts of ${rowsPerPart}`) +
    (next === undefined ? "" : `, next in ${next}`);
}

function parity(shape: Shape): KernelCase {
  const { rows, vocabulary, width, outElement = "f32", next } = shape;
  return {
    label: label(shape),
    needs: [outElement, next].includes("f16") ? ["f16"] : [],
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
      const answer = (i: number, j: number) => table.at(tokens[i]!, j);
      const norm = next && nextCase(arena, random, { ...shape, next }, answer);
      return {
        dispatches: embed(arena, {
          table: table.matrix,
          tokens: arena.upload("tokens", tokens),
          out: view,
          rows,
          ...(norm && { next: norm.next }),
        }),
        outputs: [
          rowsOutput({
            view,
            rows,
            columns: width,
            answer,
            atol: outElement === "f16" ? 1e-3 : 0,
            rtol: outElement === "f16" ? 1e-3 : 0,
          }),
          ...(norm ? norm.outputs : []),
        ],
      };
    },
  };
}

function nextCase(
  arena: Arena,
  random: CaseRandom,
  { rows, width, next: element }: Shape & { readonly next: Element },
  answer: (i: number, j: number) => number,
): { next: NextNorm; outputs: CaseOutput[] } {
  const norm = random.normal(width);
  const y = zeroRows(arena, { rows, width, element, offset: 3 });
  const squares = squaresOf(arena, rows, 1);
  const expected = new Float64Array(rows * squares.stride).fill(NaN);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += answer(i, j) ** 2;
    expected[i * squares.stride] = sum;
  }
  const half = element === "f16";
  const out = rowsOutput({
    view: y,
    rows,
    columns: width,
    answer: (i, j) => answer(i, j) * norm[j]!,
    atol: half ? 1e-3 : 0,
    rtol: half ? 1e-3 : 1e-6,
  });
  const { buffer } = squares;
  return {
    next: { weight: arena.upload("norm", norm), y, squares },
    outputs: [
      { ...out, name: "y" },
      {
        name: "squares",
        buffer,
        element: "f32",
        expected,
        atol: 0,
        rtol: 1e-5,
      },
    ],
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
