// x·Wᵀ by tiles of f32 sums in registers: every device, f16 or f32 in memory.

import { type GemmPart, gemmUse, STORE_PRODUCT } from "./gemm_part.ts";
import type { RegisterTile } from "./gemm_tile.ts";
import { type KernelUse, readWgsl } from "./kernel.ts";

const SOURCE = readWgsl("gemm_registers.wgsl", import.meta.url);

/** Multiplications of a thread that are written out at most: more would not stay in an instruction cache. */
const MOST_WRITTEN = 1024;

/**
 * One product by register tiles.
 *
 * @param part Operands.
 * @param tile Sizes of tiles.
 * @returns What dispatchOf() takes.
 * @throws {RangeError} If threads do not divide the tile evenly.
 */
export function gemmRegistersUse(
  part: GemmPart,
  tile: RegisterTile,
): KernelUse {
  const { rows, columns, depth, threadRows, threadColumns, chain } = tile;
  const isHalf = part.weight.element === "f16";
  // Who hands in f32 wants its products.
  const halves = isHalf && part.x.element === "f16" && chain !== undefined;
  const raw = !isHalf ? "vec4<f32>" : halves ? "vec4<f16>" : "vec2<u32>";
  const { prelude, ...use } = gemmUse(part, `array<${raw}>`, depth);
  const { slices, height } = part;
  const down = rows / threadRows;
  const side = columns / threadColumns;
  const threads = down * side;
  const { across = side } = tile;
  if (side % across !== 0) {
    throw new RangeError(
      `Cannot put threads side by side as their number must divide ${side}: current value is ${across}`,
    );
  }
  const units = depth / 4;
  if (threads % units !== 0) {
    throw new RangeError(
      `Cannot load tiles of depth ${depth} as a quarter of it must divide ${threads} threads`,
    );
  }
  const lines = threads / units;
  const part4 = partOf(tile, halves);
  return {
    ...use,
    source: prelude + (slices === undefined ? STORE_PRODUCT : "") + SOURCE,
    constants: {
      ...use.constants,
      T: halves ? "f16" : "f32",
      W_RAW: raw,
      HALVES: halves,
      WIDENED: isHalf && !halves,
      CHAIN: chain ?? 0,
      THREADS: threads,
      TILE_ROWS: rows,
      TILE_COLUMNS: columns,
      DEPTH: depth,
      PART: part4,
      PARTS: units / part4,
      ACROSS: across,
      SIDE: side,
      DOWN: down,
      LINES: lines,
      THREAD_ROWS: threadRows,
      THREAD_COLUMNS: threadColumns,
      X_UNITS: Math.ceil(rows / lines),
      X_EVEN: rows % lines === 0,
      W_UNITS: Math.ceil(columns / lines),
      W_EVEN: columns % lines === 0,
    },
    grid: [
      Math.ceil(part.rows / rows),
      Math.ceil(height / columns),
      slices?.count ?? 1,
    ],
  };
}

/** Vectors of four columns whose products are written out: a divisor of a tile's that holds whole chains. */
function partOf(
  { depth, threadRows, threadColumns, chain }: RegisterTile,
  halves: boolean,
): number {
  const least = halves ? chain! / 4 : 1;
  // Two halves are multiplied at once.
  const each = threadRows * threadColumns * (halves ? 2 : 4);
  let part = depth / 4;
  while (
    part % 2 === 0 && part / 2 % least === 0 && part * each > MOST_WRITTEN
  ) part /= 2;
  return part;
}
