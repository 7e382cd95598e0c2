// x·Wᵀ by subgroup matrices: f16 weights, x rounded to f16, f32 sums.

import { type GemmPart, gemmUse, STORE_PRODUCT } from "./gemm_part.ts";
import type { MatrixTile } from "./gemm_tile.ts";
import { type KernelUse, readWgsl } from "./kernel.ts";
import { isAligned } from "./row_access.ts";

const SOURCE = readWgsl("gemm_matrix.wgsl", import.meta.url);

// Where vectors of x do not begin at multiples of 4: packed on the way in.
const SCALAR_UNIT = `
fn xUnit(i: u32, k8: u32) -> vec4<u32> {
  return halves(xNumbers(i, 8u * k8), xNumbers(i, 8u * k8 + 4u));
}
`;

/**
 * One product by subgroup matrices.
 *
 * @param part Operands; the weight is f16.
 * @param tile Sizes of tiles: their units of 8 columns divide evenly among threads.
 * @param lanes Threads of a subgroup.
 * @returns What dispatchOf() takes.
 * @throws {RangeError} If the tile does not divide evenly.
 */
export function gemmMatrixUse(
  part: GemmPart,
  tile: MatrixTile,
  lanes: number,
): KernelUse {
  const { x, weight, out, bias, accumulate, slices } = part;
  const { prelude, ...use } = gemmUse(part, "array<vec4<u32>>", tile.depth);
  const { buffers = 1 } = tile;
  const threads = lanes * tile.subgroupRows * tile.subgroupColumns;
  // Lines of a tile that all threads together load at once.
  const lines = threads / (tile.depth / 8);
  if (tile.rows % lines !== 0 || tile.columns % lines !== 0) {
    throw new RangeError(
      `Cannot multiply by tiles of ${tile.rows}x${tile.columns}x${tile.depth} as their sides must be multiples of ${lines} lines that ${threads} threads load`,
    );
  }
  const whole = weight.columns % 8 === 0;
  const halves = x.element === "f16" && whole && isAligned(x, 8);
  const vector = x.element === "f32" && whole && isAligned(x, 4);
  const bindings = { ...use.bindings };
  if (halves) {
    bindings.x = { buffer: x.buffer, type: "array<vec4<u32>>", access: "read" };
  } else if (!vector) {
    bindings.x = {
      buffer: x.buffer,
      type: `array<${x.element}>`,
      access: "read",
    };
  }
  const direct = out.element === "f32" && isAligned(out, 4) &&
    bias === undefined;
  return {
    ...use,
    bindings,
    source: (halves ? "" : prelude) + STORE_PRODUCT + SOURCE +
      (halves || vector ? "" : SCALAR_UNIT),
    constants: {
      ...use.constants,
      X_HALVES: halves,
      X_VECTOR: vector,
      THREADS: threads,
      LANES: lanes,
      LINES: lines,
      X_UNITS: tile.rows / lines,
      W_UNITS: tile.columns / lines,
      TILE_ROWS: tile.rows,
      TILE_COLUMNS: tile.columns,
      DEPTH: tile.depth,
      SUBGROUP_ROWS: tile.subgroupRows,
      SUBGROUP_COLUMNS: tile.subgroupColumns,
      ROWS: tile.rows / tile.subgroupRows / 16,
      COLUMNS: tile.columns / tile.subgroupColumns / 16,
      BUFFERS: buffers,
      DIRECT: direct,
      ADDS: direct && accumulate,
    },
    needs: ["f16", "subgroups", "subgroupMatrix"],
    grid: [
      Math.ceil(part.rows / tile.rows),
      Math.ceil(part.height / tile.columns),
      slices?.count ?? 1,
    ],
  };
}
