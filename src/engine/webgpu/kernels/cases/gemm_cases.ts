// Cases of gemm(): sizes that end inside tiles, all kinds of tiles, views inside
// wider rows, weights in parts, chunks of a vocabulary.

import type { Gpu } from "../../device/gpu.ts";
import { gemm } from "../gemm.ts";
import {
  fitsTile,
  type GemmTile,
  matrixTile,
  registerTile,
  tileName,
} from "../gemm_tile.ts";
import { gatedCase } from "./gated_case.ts";
import { normCase } from "./gemm_norm_case.ts";
import { GEMM_CANDIDATES, ROWS_7B, SHAPES_7B } from "./gemm_candidates.ts";
import type { KernelCase, KernelEntry } from "./kernel_case.ts";
import {
  product,
  productBench,
  productCase,
  type ProductShape,
} from "./product_case.ts";

const SMALL = registerTile(16, 16, 8, 4, 4);
// More threads than blocks to load, and other sides than SMALL.
const WIDE = registerTile(16, 32, 4, 8, 4);
// More blocks than threads.
const DEEP = registerTile(32, 16, 16, 8, 8);
// Threads in two blocks along W; slices, the last shorter.
const BLOCKS = registerTile(16, 32, 8, 4, 4, { across: 4 });
const SLICES = registerTile(16, 16, 8, 4, 4, { splits: 3 });
// A tile multiplied in two parts; sums of halves, two to a part and two parts.
const PARTS = registerTile(16, 64, 32, 8, 8);
const CHAINS = registerTile(16, 32, 16, 4, 4, { chain: 8 });
const CHAIN_PARTS = registerTile(32, 64, 64, 8, 8, {
  across: 4,
  chain: 16,
  splits: 3,
});
// As large GPUs have them.
const WARP = { across: 8 } as const;
const LARGE = [
  registerTile(16, 256, 32, 8, 8, WARP),
  registerTile(32, 256, 32, 8, 8, WARP),
  registerTile(32, 256, 32, 8, 4, WARP),
  registerTile(64, 128, 32, 8, 8, WARP),
  registerTile(128, 128, 16, 8, 8, WARP),
];
const GPU_ONLY = { fits: ({ facts }: Gpu) => !facts.software };

// Subgroups side by side, one above the other, and both; few fragments and many.
const MATRIX_SMALL = matrixTile(32, 64, 64, 1, 4);
const MATRIX_LOW = matrixTile(16, 64, 128, 1, 4);
const MATRIX_TALL = matrixTile(64, 32, 32, 2, 1);
const MATRIX_LARGE = matrixTile(128, 128, 64, 2, 4);
const MATRIX_LARGEST = matrixTile(256, 128, 32, 4, 2);
const MATRIX_DOUBLE = matrixTile(64, 64, 64, 2, 2, { buffers: 2 });
const MATRIX_SLICES = matrixTile(32, 64, 64, 1, 4, { splits: 4 });
const MATRIX_DOUBLE_SLICES = matrixTile(16, 64, 64, 1, 4, {
  buffers: 2,
  splits: 3,
});

type TileCase = readonly [tile: GemmTile, shape: ProductShape];

const HALVES = { xElement: "f16" } as const;

const AHEAD: readonly TileCase[] = [
  [
    matrixTile(32, 128, 64, 1, 4, { ahead: 2 }),
    product(17, 256, 320, "f16", { ...HALVES, accumulate: true }),
  ],
  [
    matrixTile(32, 96, 64, 1, 2, { subgroupDepths: 4, ahead: 2 }),
    product(30, 200, 328, "f16", HALVES),
  ],
  [
    matrixTile(16, 96, 128, 1, 2, { subgroupDepths: 2, ahead: 2 }),
    product(15, 100, 264, "f16", { ...HALVES, bias: true, accumulate: true }),
  ],
  [
    matrixTile(16, 32, 256, 1, 2, { subgroupDepths: 4, ahead: 2 }),
    product(7, 70, 1032, "f16", { ...HALVES, accumulate: true }),
  ],
  [
    matrixTile(48, 32, 32, 3, 1, { buffers: 2, ahead: 3 }),
    product(45, 70, 200, "f16", { accumulate: true }),
  ],
  [
    matrixTile(64, 160, 32, 2, 2, { buffers: 2, ahead: 3, splits: 3 }),
    product(61, 330, 448, "f16", { ...HALVES, accumulate: true }),
  ],
  [
    matrixTile(32, 32, 64, 1, 1, { subgroupDepths: 4, ahead: 2, splits: 2 }),
    product(20, 75, 584, "f16", { ...HALVES, accumulate: true, bias: true }),
  ],
  [
    matrixTile(128, 192, 32, 4, 2, { ahead: 2 }),
    product(122, 400, 136, "f16", HALVES),
  ],
  [
    matrixTile(128, 96, 64, 2, 2, { subgroupDepths: 2, ahead: 2 }),
    product(244, 150, 328, "f16", HALVES),
  ],
];

const GATED: readonly TileCase[] = [
  [
    matrixTile(32, 192, 64, 2, 2, { ahead: 2 }),
    product(17, 2 * 344, 264, "f16", { ...HALVES, outElement: "f16" }),
  ],
  [
    matrixTile(16, 96, 128, 1, 1, { subgroupDepths: 4 }),
    product(7, 2 * 100, 320, "f16", { ...HALVES, outElement: "f16" }),
  ],
  [
    matrixTile(128, 192, 32, 4, 2, { ahead: 2 }),
    product(130, 2 * 200, 96, "f16", HALVES),
  ],
  [
    matrixTile(64, 192, 64, 2, 2, { splits: 2 }),
    product(61, 2 * 132, 576, "f16", { ...HALVES, outElement: "f16" }),
  ],
];

const NORMED: readonly TileCase[] = [
  [SLICES, product(19, 132, 72, "f32")],
  [SLICES, product(17, 44, 72, "f32", { bias: true, outElement: "f16" })],
  [SLICES, product(18, 48, 72, "f32", { rowsPerPart: 32 })],
  [SLICES, product(16, 35, 72, "f32")],
  [SMALL, product(16, 36, 40, "f32", { outElement: "f16" })],
];

const MATRIX_NORM = matrixTile(32, 128, 16, 1, 4, { splits: 4 });

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
    registers(BLOCKS, product(30, 70, 52, "f16", { accumulate: true })),
    registers(BLOCKS, product(18, 64, 40, "f32", { bias: true })),
    registers(SLICES, product(19, 44, 100, "f32", { bias: true })),
    registers(
      SLICES,
      product(21, 35, 77, "f16", {
        rowsPerPart: 20,
        accumulate: true,
        bias: true,
        outColumn: 3,
      }),
    ),
    registers(
      SLICES,
      product(17, 24, 88, "f32", {
        firstWeightRow: 4,
        weightRows: 16,
        accumulate: true,
        outElement: "f16",
      }),
    ),
    // Slices of a width that is one step: one after all.
    registers(SLICES, product(5, 20, 7, "f32")),
    registers(PARTS, product(19, 70, 84, "f16", { accumulate: true })),
    registers(PARTS, product(16, 64, 64, "f32")),
    chains(CHAINS, product(16, 32, 64, "f16")),
    chains(
      CHAINS,
      product(19, 50, 77, "f16", { bias: true, outElement: "f16" }),
    ),
    chains(CHAIN_PARTS, product(30, 70, 264, "f16", { accumulate: true })),
    // In f32, as x is.
    registers(CHAINS, product(17, 40, 48, "f16")),
    ...LARGE.flatMap((tile) => {
      const { rows, columns, depth } = tile;
      const note = { ...GPU_ONLY, accumulate: true };
      const sides = [rows + 3, columns + 70, 9 * depth + 8] as const;
      return [
        registers(tile, product(...sides, "f16", GPU_ONLY)),
        registers(tile, product(...sides, "f32", note)),
        chains({ ...tile, chain: 16 }, product(...sides, "f16", GPU_ONLY)),
        chains(
          { ...tile, chain: depth, splits: 2 },
          product(...sides, "f16", note),
        ),
      ];
    }),
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
    // Sums that begin with what they are added to, and those of tiles that end inside.
    matrices(
      MATRIX_SMALL,
      product(70, 200, 136, "f16", { xElement: "f16", accumulate: true }),
    ),
    matrices(MATRIX_LOW, product(15, 130, 264, "f16", { xElement: "f16" })),
    matrices(MATRIX_LOW, product(7, 64, 256, "f16", { accumulate: true })),
    matrices(MATRIX_DOUBLE, product(61, 150, 328, "f16", { xElement: "f16" })),
    matrices(
      MATRIX_DOUBLE,
      product(130, 128, 64, "f16", { xElement: "f16", accumulate: true }),
    ),
    matrices(
      MATRIX_SLICES,
      product(30, 100, 584, "f16", { xElement: "f16", accumulate: true }),
    ),
    matrices(
      MATRIX_SLICES,
      product(45, 130, 333, "f16", {
        rowsPerPart: 70,
        bias: true,
        outElement: "f16",
        outOffset: 2,
      }),
    ),
    matrices(
      MATRIX_DOUBLE_SLICES,
      product(15, 96, 448, "f16", { xElement: "f16", bias: true }),
    ),
    // Tiles ahead, lines that threads share unevenly, subgroups that share columns.
    ...AHEAD.map(([tile, shape]) => matrices(tile, shape)),
    ...GATED.map(([tile, shape]) => gated(tile, shape)),
    // The norm in the sum of slices, then on its own: one slice, parts, odd rows.
    ...NORMED.map(([tile, shape]) =>
      normCase(
        { ...shape, note: `tile ${tileName(tile)}` },
        (arena, args) => gemm(arena, { ...args, tile }),
      )
    ),
    normCase(
      {
        ...product(17, 4096, 64, "f16", {
          xElement: "f16",
          outElement: "f16",
          needs: ["f16", "subgroups", "subgroupMatrix"],
        }),
        fits: (gpu) => fitsTile(gpu, MATRIX_NORM),
        note: `matrices ${tileName(MATRIX_NORM)}`,
      },
      (arena, args) => gemm(arena, { ...args, tile: MATRIX_NORM }),
    ),
    productCase(product(1, 3, 5, "f32", { note: "tile of tuning" }), gemm),
    productCase(product(40, 33, 24, "f32", { note: "tile of tuning" }), gemm),
  ],
  bench: [
    // SmolLM2-135M: query, key and value; output; gate and up; down; a chunk of the head.
    ...([[960, 576], [576, 576], [3072, 576], [576, 1536], [
      8192,
      576,
    ]] as const)
      .flatMap(([height, width]) =>
        [32, 128, 512, 2048, 8192].flatMap((rows) =>
          benches(rows, height, width)
        )
      ),
    ...SHAPES_7B.flatMap(([height, width]) =>
      ROWS_7B.flatMap((rows) => benches(rows, height, width))
    ),
    ...ROWS_7B.map((rows) =>
      productBench(
        product(rows, 22016, 4096, "f16", {
          ...HALVES,
          note: "gated",
          needs: ["f16", "subgroups", "subgroupMatrix"],
        }),
        (arena, args) => gemm(arena, { ...args, gated: true }),
      )
    ),
    ...GEMM_CANDIDATES,
  ],
};

/** As layers call it: where matrices take x, as halves. */
function benches(rows: number, height: number, width: number): KernelCase[] {
  return [
    productBench(
      product(rows, height, width, "f16", { xElement: "f16" }),
      gemm,
    ),
    ...(["f16", "f32"] as const).map((element) =>
      productBench(product(rows, height, width, element), gemm)
    ),
  ];
}

function matrices(tile: GemmTile, shape: ProductShape): KernelCase {
  const note = `matrices ${tileName(tile)}`;
  const needs = ["f16", "subgroups", "subgroupMatrix"] as const;
  const fits = (gpu: Gpu) => fitsTile(gpu, tile);
  return productCase(
    { ...shape, note, needs, fits, halfInput: true },
    (arena, args) => gemm(arena, { ...args, tile }),
  );
}

/** By sums of halves. */
function chains(tile: GemmTile, shape: ProductShape): KernelCase {
  return registers(tile, { ...shape, xElement: "f16", halfSums: true });
}

function gated(tile: GemmTile, shape: ProductShape): KernelCase {
  const note = `matrices ${tileName(tile)}`;
  const needs = ["f16", "subgroups", "subgroupMatrix"] as const;
  const fits = (gpu: Gpu) => fitsTile(gpu, tile, true);
  return gatedCase(
    { ...shape, note, needs, fits },
    (arena, args) => gemm(arena, { ...args, tile }),
  );
}

function registers(tile: GemmTile, shape: ProductShape): KernelCase {
  return productCase(
    { ...shape, note: `tile ${tileName(tile)}` },
    (arena, args) => gemm(arena, { ...args, tile }),
  );
}
