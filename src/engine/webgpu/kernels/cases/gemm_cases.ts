// Cases of gemm(): sizes that end inside tiles, all kinds of tiles, views inside
// wider rows, weights in parts, chunks of a vocabulary.

import type { Gpu } from "../../device/gpu.ts";
import { gemm } from "../gemm.ts";
import { GEMM_CANDIDATES } from "./gemm_candidates.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";
import {
  product,
  productBench,
  productCase,
  type ProductShape,
} from "./product_case.ts";
import {
  fitsTile,
  type GemmTile,
  type MatrixTile,
  matrixTile,
} from "../tuning.ts";

const SMALL: GemmTile = {
  kind: "registers",
  rows: 16,
  columns: 16,
  depth: 8,
  threadRows: 4,
  threadColumns: 4,
};
// More threads than blocks to load, and other sides than SMALL.
const WIDE: GemmTile = {
  kind: "registers",
  rows: 16,
  columns: 32,
  depth: 4,
  threadRows: 8,
  threadColumns: 4,
};
// More blocks than threads.
const DEEP: GemmTile = {
  kind: "registers",
  rows: 32,
  columns: 16,
  depth: 16,
  threadRows: 8,
  threadColumns: 8,
};

// Subgroups side by side, one above the other, and both; few fragments and many.
const MATRIX_SMALL = matrixTile(32, 64, 64, 1, 4);
const MATRIX_TALL = matrixTile(64, 32, 32, 2, 1);
const MATRIX_LARGE = matrixTile(128, 128, 64, 2, 4);
const MATRIX_LARGEST = matrixTile(256, 128, 32, 4, 2);

/** gemm() in the table of kernels. */
export const gemmEntry: KernelEntry = {
  name: "gemm",
  parity: [
    registers(SMALL, product(37, 45, 72, "f32")),
    registers(SMALL, product(17, 33, 45, "f16", { bias: true })),
    registers(
      SMALL,
      product(19, 50, 100, "f16", { rowsPerPart: 13, accumulate: true }),
    ),
    registers(
      WIDE,
      product(21, 70, 36, "f32", {
        bias: true,
        accumulate: true,
        outColumn: 5,
        xOffset: 3,
        xExtra: 2,
      }),
    ),
    registers(
      DEEP,
      product(35, 61, 52, "f16", {
        rowsPerPart: 20,
        firstWeightRow: 7,
        weightRows: 41,
        bias: true,
      }),
    ),
    registers(
      SMALL,
      product(18, 20, 37, "f16", { xElement: "f16", xExtra: 0 }),
    ),
    registers(
      SMALL,
      product(18, 20, 40, "f32", {
        xElement: "f16",
        xOffset: 4,
        outElement: "f16",
        outOffset: 2,
      }),
    ),
    // Whole tiles alone, then tiles that end inside.
    matrices(MATRIX_SMALL, product(64, 128, 128, "f16")),
    matrices(MATRIX_SMALL, product(30, 100, 72, "f16", { rowsPerPart: 33 })),
    matrices(
      MATRIX_TALL,
      product(70, 50, 96, "f16", {
        bias: true,
        accumulate: true,
        outColumn: 3,
      }),
    ),
    matrices(MATRIX_TALL, product(65, 33, 45, "f16", { xOffset: 1 })),
    matrices(
      MATRIX_LARGE,
      product(150, 300, 136, "f16", {
        firstWeightRow: 5,
        weightRows: 270,
        outColumn: 4,
      }),
    ),
    matrices(
      MATRIX_LARGE,
      product(130, 140, 576, "f16", { xElement: "f16", accumulate: true }),
    ),
    matrices(
      MATRIX_LARGE,
      product(129, 130, 77, "f16", {
        xElement: "f16",
        xOffset: 3,
        outElement: "f16",
        outOffset: 2,
      }),
    ),
    matrices(MATRIX_LARGEST, product(300, 200, 104, "f16", { bias: true })),
    matrices(MATRIX_LARGEST, product(512, 256, 96, "f16")),
    productCase(product(1, 3, 5, "f32", { note: "tile of tuning" }), gemm),
    productCase(product(40, 33, 24, "f32", { note: "tile of tuning" }), gemm),
  ],
  bench: [
    ...([
      // SmolLM2-135M: query, key and value; gate and up; down; a chunk of the head.
      ...([[960, 576], [3072, 576], [576, 1536], [8192, 576]] as const),
      // LLaMA-2-7B: query, key and value; square; gate and up; down.
      ...([[12288, 4096], [4096, 4096], [22016, 4096], [4096, 11008]] as const),
    ].flatMap(([height, width]) =>
      [16, 32, 64, 128, 256, 512, 2048].flatMap((rows) =>
        (["f16", "f32"] as const).map((element) =>
          productBench(product(rows, height, width, element), gemm)
        )
      )
    )),
    ...GEMM_CANDIDATES,
  ],
};

function matrices(tile: MatrixTile, shape: ProductShape): KernelCase {
  const { rows, columns, depth, subgroupRows, subgroupColumns } = tile;
  const note = `matrices ${rows}x${columns}x${depth} by ` +
    `${subgroupRows}x${subgroupColumns}`;
  const needs = ["f16", "subgroups", "subgroupMatrix"] as const;
  const fits = (gpu: Gpu) => fitsTile(gpu, tile);
  return productCase(
    { ...shape, note, needs, fits, halfInput: true },
    (arena, args) => gemm(arena, { ...args, tile }),
  );
}

function registers(tile: GemmTile, shape: ProductShape): KernelCase {
  const note = `tile ${tile.rows}x${tile.columns}x${tile.depth}`;
  return productCase(
    { ...shape, note },
    (arena, args) => gemm(arena, { ...args, tile }),
  );
}
