// Tiles to time against those of tuning.ts on a device that it does not know:
// `deno task bench kernels --only "gemm: *candidate*"`.

import type { Gpu } from "../../device/gpu.ts";
import { gemm } from "../gemm.ts";
import type { KernelCase } from "./kernel_case.ts";
import { productBench } from "./product_case.ts";
import {
  fitsTile,
  type MatrixTile,
  matrixTile,
  type RegisterTile,
  registerTile,
} from "../tuning.ts";

/** Rows of x, and the tiles that could be fastest there. */
interface Candidates<Tile> {
  readonly rows: number;
  readonly tiles: readonly Tile[];
}

type Shape = readonly [height: number, width: number];

// LLaMA-2-7B: square, and query with key and value.
const SHAPES: readonly Shape[] = [[4096, 4096], [12288, 4096]];

const MATRICES: readonly Candidates<MatrixTile>[] = [
  {
    rows: 32,
    tiles: [
      matrixTile(32, 32, 64, 1, 2),
      matrixTile(32, 32, 128, 1, 2),
      matrixTile(32, 64, 64, 1, 4),
      matrixTile(32, 64, 64, 2, 2),
      matrixTile(32, 64, 128, 1, 4),
      matrixTile(32, 128, 64, 1, 4),
    ],
  },
  {
    rows: 64,
    tiles: [
      matrixTile(64, 32, 64, 2, 1),
      matrixTile(64, 64, 64, 2, 2),
      matrixTile(64, 64, 64, 2, 4),
      matrixTile(64, 128, 64, 2, 4),
    ],
  },
  {
    rows: 128,
    tiles: [
      matrixTile(64, 64, 64, 2, 2),
      matrixTile(128, 64, 64, 4, 2),
      matrixTile(128, 128, 32, 2, 4),
      matrixTile(128, 128, 64, 2, 4),
    ],
  },
  {
    rows: 2048,
    tiles: [
      matrixTile(128, 128, 32, 2, 4),
      matrixTile(128, 128, 64, 2, 4),
      matrixTile(256, 128, 32, 4, 2),
      matrixTile(128, 256, 32, 2, 4),
      matrixTile(256, 128, 32, 2, 4),
    ],
  },
];

const REGISTERS: readonly Candidates<RegisterTile>[] = [
  {
    rows: 32,
    tiles: [
      registerTile(32, 32, 32, 4, 4),
      registerTile(32, 64, 16, 4, 4),
      registerTile(32, 64, 32, 4, 4),
      registerTile(32, 128, 16, 4, 8),
      registerTile(32, 128, 16, 8, 4),
    ],
  },
  {
    rows: 128,
    tiles: [
      registerTile(64, 64, 16, 8, 4),
      registerTile(64, 64, 32, 4, 4),
      registerTile(64, 128, 16, 8, 8),
      registerTile(128, 64, 16, 8, 4),
      registerTile(128, 128, 16, 8, 8),
    ],
  },
  {
    rows: 2048,
    tiles: [
      registerTile(128, 128, 8, 8, 8),
      registerTile(128, 128, 16, 8, 8),
      registerTile(128, 64, 16, 8, 8),
    ],
  },
];

/** Bench cases of every candidate that a device can run. */
export const GEMM_CANDIDATES: readonly KernelCase[] = SHAPES.flatMap((shape) =>
  [...MATRICES, ...REGISTERS].flatMap(({ rows, tiles }) =>
    tiles.map((tile) => bench(rows, shape, tile))
  )
);

function bench(
  rows: number,
  [height, width]: Shape,
  tile: MatrixTile | RegisterTile,
): KernelCase {
  const sides = `${tile.rows}x${tile.columns}x${tile.depth}`;
  const [note, fits] = tile.kind === "matrix"
    ? [
      `candidate ${sides} by ${tile.subgroupRows}x${tile.subgroupColumns} subgroups`,
      (gpu: Gpu) => fitsTile(gpu, tile),
    ]
    : [`candidate ${sides} by ${tile.threadRows}x${tile.threadColumns} sums`];
  return productBench(
    { rows, height, width, element: "f16", note, ...(fits && { fits }) },
    (arena, args) => gemm(arena, { ...args, tile }),
  );
}
