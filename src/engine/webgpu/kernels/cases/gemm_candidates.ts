// Tiles to time against those of gemm_tuning.ts on a device that it does not know:
// `deno task bench kernels --only "gemm: rows 30 x*candidate*"`.

import { gemm } from "../gemm.ts";
import { fitsTile, type GemmTile, tileName } from "../gemm_tile.ts";
import { candidateTiles } from "../gemm_candidates.ts";
import type { KernelCase } from "./kernel_case.ts";
import { productBench } from "./product_case.ts";

type Shape = readonly [height: number, width: number];

/** LLaMA-2-7B: query with key and value, of heads and latent; output; gate and up; down; head. */
export const SHAPES_7B: readonly Shape[] = [
  [12288, 4096],
  [6720, 4096],
  [4096, 4096],
  [22016, 4096],
  [4096, 11008],
  [32000, 4096],
];

/** Batches of the paper's budgets, and a prefill. */
export const ROWS_7B: readonly number[] = [7, 15, 30, 61, 122, 244, 2048];

/** Bench cases of every candidate that a device can run. */
export const GEMM_CANDIDATES: readonly KernelCase[] = SHAPES_7B.flatMap(
  ([height, width]) =>
    ROWS_7B.flatMap((rows) =>
      (["matrix", "registers"] as const).flatMap((kind) =>
        candidateTiles(kind, { rows, height, width }).map((tile) =>
          bench(rows, [height, width], tile)
        )
      )
    ),
);

function bench(
  rows: number,
  [height, width]: Shape,
  tile: GemmTile,
): KernelCase {
  return productBench(
    {
      rows,
      height,
      width,
      element: "f16",
      note: `candidate ${tileName(tile)}`,
      xElement: tile.kind === "matrix" || tile.chain !== undefined
        ? "f16"
        : "f32",
      fits: (gpu) => fitsTile(gpu, tile),
    },
    (arena, args) => gemm(arena, { ...args, tile }),
  );
}
