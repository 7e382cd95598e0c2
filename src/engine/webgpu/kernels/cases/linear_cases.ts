// Cases of linear(): both sides of where it changes from one kernel to another.

import type { KernelEntry } from "./kernel_case.ts";
import { linear } from "../linear.ts";
import { product, productBench, productCase } from "./product_case.ts";

/** linear() in the table of kernels. */
export const linearEntry: KernelEntry = {
  name: "linear",
  parity: [
    product(2, 40, 48, "f32", { prologue: "norm", bias: true }),
    product(8, 33, 45, "f16", {
      prologue: "norm",
      rowsPerPart: 12,
      halfInput: "maybe",
    }),
    product(3, 24, 36, "f32", { prologue: "gatedSilu", accumulate: true }),
    product(11, 35, 48, "f16", {
      prologue: "gatedSilu",
      accumulate: true,
      halfInput: "maybe",
    }),
    product(18, 29, 40, "f32", {
      prologue: "norm",
      bias: true,
      outColumn: 3,
      rowsPerPart: 9,
    }),
    product(20, 24, 33, "f16", { prologue: "norm", halfInput: "maybe" }),
    product(6, 17, 56, "f32", { bias: true }),
    product(30, 17, 56, "f16", { halfInput: "maybe" }),
    product(30, 17, 56, "f32"),
  ].map((shape) => productCase(shape, linear)),
  bench: ([
    [1536, 576, "norm"],
    [576, 1536, "gatedSilu"],
    [12288, 4096, "norm"],
    [4096, 11008, "gatedSilu"],
  ] as const).flatMap(([height, width, prologue]) =>
    [1, 2, 4, 8, 16, 128, 2048].map((rows) =>
      productBench(product(rows, height, width, "f16", { prologue }), linear)
    )
  ),
};
