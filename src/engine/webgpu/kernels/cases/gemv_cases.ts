// Cases of gemv(): every count of rows that it computes, with and without
// subgroups, vectors and single numbers, all that may happen on the way in and out.

import type { Gpu } from "../../device/gpu.ts";
import { gemv } from "../gemv.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";
import {
  type Multiply,
  product,
  productBench,
  productCase,
  type ProductShape,
} from "./product_case.ts";
import type { GemvShape } from "../gemv_tuning.ts";

const WORKGROUP: GemvShape = {
  subgroups: false,
  threads: 32,
  rows: 2,
  unroll: 2,
};
const SUBGROUP: GemvShape = {
  subgroups: true,
  threads: 64,
  rows: 2,
  unroll: 2,
};

/** gemv() in the table of kernels. */
export const gemvEntry: KernelEntry = {
  name: "gemv",
  parity: [
    ...[
      product(1, 37, 96, "f16"),
      product(2, 9, 1032, "f32", { bias: true, accumulate: true }),
      product(3, 37, 300, "f16", { prologue: "norm", bias: true }),
      product(2, 21, 96, "f32", { prologue: "norm", rowsPerPart: 8 }),
      product(4, 18, 40, "f32", { prologue: "gatedSilu", accumulate: true }),
      product(1, 33, 45, "f16", { prologue: "gatedSilu", outColumn: 3 }),
      product(5, 26, 72, "f16", { rowsPerPart: 11, bias: true, outColumn: 8 }),
      product(7, 11, 64, "f32", { xOffset: 3, xExtra: 5, outOffset: 7 }),
      product(2, 19, 88, "f16", { xElement: "f16", outElement: "f16" }),
      product(16, 13, 104, "f16", { prologue: "norm", std: 100 }),
    ].flatMap((shape) => [
      parity({ ...shape, note: "no subgroups" }, WORKGROUP),
      parity({ ...shape, note: "subgroups" }, SUBGROUP),
    ]),
    parity(product(1, 70, 264, "f16", { prologue: "norm" })),
    parity(product(8, 70, 264, "f32", { bias: true })),
  ],
  bench: [
    ...([
      // SmolLM2-135M: query, key and value; gate and up; down; the head.
      ...([[960, 576], [3072, 576], [576, 1536], [49152, 576]] as const),
      // LLaMA-2-7B: query, key and value; square; gate and up; down; the head.
      ...([[12288, 4096], [4096, 4096], [22016, 4096], [4096, 11008]] as const),
      [32000, 4096] as const,
    ].flatMap(([height, width]) => [
      ...[1, 2, 4, 8, 16].map((rows) =>
        bench(product(rows, height, width, "f16"))
      ),
      bench(product(1, height, width, "f32")),
      ...[1, 2].map((rows) =>
        bench(product(rows, height, width, "f16", {
          prologue: width > height ? "gatedSilu" : "norm",
        }))
      ),
    ])),
    ...candidates(),
  ],
};

function parity(shape: ProductShape, forced?: GemvShape): KernelCase {
  const multiply: Multiply = (arena, args) =>
    gemv(arena, forced === undefined ? args : { ...args, shape: forced });
  if (!forced?.subgroups) return productCase(shape, multiply);
  const fits = (gpu: Gpu) => gpu.facts.subgroupSize > 0;
  return productCase({ ...shape, needs: ["subgroups"], fits }, multiply);
}

function bench(shape: ProductShape): KernelCase {
  return productBench(shape, gemv);
}

// Shapes to time against those of tuning.ts on a device that it does not know.
function candidates(): KernelCase[] {
  const shapes: [rows: number, shape: Omit<GemvShape, "subgroups">][] = [
    [1, { threads: 128, rows: 1, unroll: 4 }],
    [1, { threads: 256, rows: 1, unroll: 2 }],
    [1, { threads: 256, rows: 1, unroll: 4 }],
    [1, { threads: 256, rows: 1, unroll: 8 }],
    [1, { threads: 256, rows: 2, unroll: 2 }],
    [1, { threads: 256, rows: 2, unroll: 4 }],
    [2, { threads: 256, rows: 1, unroll: 4 }],
    [2, { threads: 256, rows: 2, unroll: 2 }],
    [2, { threads: 256, rows: 2, unroll: 4 }],
    [2, { threads: 256, rows: 4, unroll: 1 }],
    [2, { threads: 256, rows: 4, unroll: 2 }],
    [8, { threads: 128, rows: 4, unroll: 1 }],
    [8, { threads: 256, rows: 2, unroll: 2 }],
    [8, { threads: 256, rows: 4, unroll: 1 }],
    [8, { threads: 256, rows: 4, unroll: 2 }],
    [16, { threads: 128, rows: 4, unroll: 1 }],
    [16, { threads: 256, rows: 2, unroll: 1 }],
    [16, { threads: 256, rows: 4, unroll: 1 }],
  ];
  return ([[4096, 4096], [12288, 4096]] as const).flatMap(([height, width]) =>
    shapes.map(([rows, shape]) => {
      const note = `candidate ${shape.threads} threads, ${shape.rows} rows, ` +
        `${shape.unroll} loads`;
      return productBench(
        product(rows, height, width, "f16", {
          note,
          needs: ["subgroups"],
          fits: (gpu) => gpu.facts.subgroupSize > 0,
        }),
        (arena, args) =>
          gemv(arena, { ...args, shape: { ...shape, subgroups: true } }),
      );
    })
  );
}
