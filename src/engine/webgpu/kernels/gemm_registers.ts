// x·Wᵀ by tiles of f32 sums in registers: every device, f16 or f32 in memory.

import { type GemmPart, gemmUse, STORE_PRODUCT } from "./gemm_part.ts";
import type { RegisterTile } from "./gemm_tile.ts";
import { type KernelUse, readWgsl } from "./kernel.ts";
import { isAligned, rowBinding } from "./row_access.ts";

const SOURCE = readWgsl("gemm_registers.wgsl", import.meta.url);

/**
 * One product by register tiles.
 *
 * @param part Operands.
 * @param tile Sizes of tiles.
 * @returns What dispatchOf() takes.
 */
export function gemmRegistersUse(
  part: GemmPart,
  tile: RegisterTile,
): KernelUse {
  const weightType = part.weight.element === "f16"
    ? "array<vec2<u32>>"
    : "array<vec4<f32>>";
  const { out, slices, height } = part;
  const { prelude, ...use } = gemmUse(part, weightType, tile.depth);
  // Vectors that end inside would be another part's, too.
  const outVector = isAligned(out, 4) &&
    (slices !== undefined || height % 4 === 0);
  const threads = (tile.rows / tile.threadRows) *
    (tile.columns / tile.threadColumns);
  // Blocks of 4 by 4 numbers that threads load.
  const xBlocks = tile.rows * tile.depth / 16;
  const wBlocks = tile.columns * tile.depth / 16;
  const threadsAcross = tile.columns / tile.threadColumns;
  const { across = threadsAcross } = tile;
  if (threadsAcross % across !== 0) {
    throw new RangeError(
      `Cannot put threads side by side as their number must divide ${threadsAcross}: current value is ${across}`,
    );
  }
  return {
    ...use,
    bindings: {
      ...use.bindings,
      output: rowBinding(out, outVector, "read_write"),
    },
    source: prelude + (outVector ? "" : STORE_PRODUCT) + SOURCE,
    constants: {
      ...use.constants,
      THREADS: threads,
      TILE_ROWS: tile.rows,
      TILE_COLUMNS: tile.columns,
      DEPTH: tile.depth,
      OUT_VECTOR: outVector,
      ACROSS: across,
      THREAD_ROWS: tile.threadRows,
      THREAD_COLUMNS: tile.threadColumns,
      X_BLOCKS: xBlocks,
      W_BLOCKS: wBlocks,
      BLOCKS: Math.ceil((xBlocks + wBlocks) / threads),
    },
    grid: [
      Math.ceil(part.rows / tile.rows),
      Math.ceil(height / tile.columns),
      slices?.count ?? 1,
    ],
  };
}
