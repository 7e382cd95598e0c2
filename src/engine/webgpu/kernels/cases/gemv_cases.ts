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
import { fusedCase, type FusedShape } from "./gemv_fused_cases.ts";
import { FUSED_BENCHES, GEMV_CANDIDATES } from "./gemv_candidates.ts";

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

const SMALL = { threads: 64, rows: 1, unroll: 1 };
const LARGE = { threads: 64, rows: 2, unroll: 2 };

const FUSED: readonly FusedShape[] = [
  {
    rows: 1,
    height: 37,
    width: 264,
    element: "f32",
    scaled: true,
    shape: SMALL,
  },
  {
    rows: 1,
    height: 37,
    width: 264,
    element: "f16",
    scaled: true,
    count: 9,
    bias: true,
    shape: LARGE,
  },
  {
    rows: 3,
    height: 21,
    width: 45,
    element: "f32",
    scaled: true,
    count: 70,
    bias: true,
    outColumn: 3,
    rowsPerPart: 8,
    shape: LARGE,
  },
  {
    rows: 2,
    height: 21,
    width: 52,
    element: "f16",
    scaled: true,
    count: 5,
    outElement: "f16",
    shape: LARGE,
  },
  {
    rows: 16,
    height: 13,
    width: 104,
    element: "f16",
    scaled: true,
    count: 70,
    std: 100,
    shape: LARGE,
  },
  {
    rows: 1,
    height: 46,
    width: 104,
    element: "f32",
    scaled: true,
    count: 3,
    epilogue: "gated",
    shape: SMALL,
  },
  {
    rows: 1,
    height: 74,
    width: 264,
    element: "f16",
    scaled: true,
    count: 3,
    epilogue: "gated",
    bias: true,
    shape: LARGE,
  },
  {
    rows: 5,
    height: 38,
    width: 45,
    element: "f32",
    epilogue: "gated",
    bias: true,
    outColumn: 2,
    shape: LARGE,
  },
  {
    rows: 2,
    height: 22,
    width: 88,
    element: "f16",
    epilogue: "gated",
    std: 30,
    shape: SMALL,
  },
  {
    rows: 1,
    height: 41,
    width: 264,
    element: "f32",
    epilogue: "residual",
    shape: SMALL,
  },
  {
    rows: 1,
    height: 77,
    width: 264,
    element: "f16",
    epilogue: "residual",
    bias: true,
    shape: LARGE,
  },
  {
    rows: 3,
    height: 70,
    width: 45,
    element: "f32",
    epilogue: "residual",
    rowsPerPart: 33,
    shape: LARGE,
  },
  {
    rows: 2,
    height: 35,
    width: 72,
    element: "f16",
    activation: "f32",
    epilogue: "residual",
    shape: SMALL,
  },
  {
    rows: 7,
    height: 26,
    width: 72,
    element: "f16",
    epilogue: "residual",
    bias: true,
    scaled: true,
    count: 6,
    shape: LARGE,
  },
  { rows: 4, height: 50, width: 96, element: "f32", epilogue: "residual" },
];

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
    ...FUSED.map(fusedCase),
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
    ...FUSED_BENCHES,
    ...GEMV_CANDIDATES,
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
