// x·Wᵀ by subgroup matrices: f16 weights, x rounded to f16, f32 sums.

import { type GemmPart, gemmUse, STORE_PRODUCT } from "./gemm_part.ts";
import { type MatrixTile, tileFault, tileName } from "./gemm_tile.ts";
import { HALVES } from "./halves.ts";
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
 * @param tile Sizes of tiles.
 * @param lanes Threads of a subgroup.
 * @returns What dispatchOf() takes.
 * @throws {RangeError} If subgroups or threads cannot share the tile evenly.
 */
export function gemmMatrixUse(
  part: GemmPart,
  tile: MatrixTile,
  lanes: number,
): KernelUse {
  const { x, weight, out, bias, accumulate, slices, gated = false } = part;
  const { prelude, ...use } = gemmUse(part, "array<vec4<u32>>", tile.depth);
  const { rows, columns, depth, subgroupRows, subgroupColumns } = tile;
  const { buffers = 1, ahead = 1, subgroupDepths = 1 } = tile;
  const fault = tileFault(tile, lanes, gated);
  if (fault !== undefined) {
    throw new RangeError(`Cannot multiply by ${tileName(tile)} as ${fault}`);
  }
  const subgroups = subgroupRows * subgroupColumns * subgroupDepths;
  const threads = lanes * subgroups;
  // Lines of a tile that all threads together load at once.
  const lines = threads / (depth / 8);
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
  const sliced = slices !== undefined;
  // Sums of one subgroup alone go to f32 rows as they are.
  const direct = subgroupDepths === 1 && !gated && (sliced ||
    out.element === "f32" && isAligned(out, 4) && bias === undefined);
  return {
    ...use,
    bindings,
    source: (halves ? "" : prelude) + STORE_PRODUCT + HALVES + SOURCE +
      (halves || vector ? "" : SCALAR_UNIT),
    constants: {
      ...use.constants,
      X_HALVES: halves,
      X_VECTOR: vector,
      THREADS: threads,
      LANES: lanes,
      LINES: lines,
      X_UNITS: Math.ceil(rows / lines),
      W_UNITS: Math.ceil(columns / lines),
      TILE_ROWS: rows,
      TILE_COLUMNS: columns,
      DEPTH: depth,
      STEPS: depth / 16 / subgroupDepths,
      SUBGROUPS: subgroups,
      SUBGROUP_ROWS: subgroupRows,
      SUBGROUP_COLUMNS: subgroupColumns,
      SUBGROUP_DEPTHS: subgroupDepths,
      ROWS: rows / subgroupRows / 16,
      COLUMNS: columns / subgroupColumns / 16,
      BUFFERS: buffers,
      AHEAD: ahead,
      DIRECT: direct,
      ADDS: direct && !sliced && accumulate,
      STAGED: !(direct && sliced),
      GATED: gated,
      PARTS: gated ? 2 : 1,
    },
    needs: ["f16", "subgroups", "subgroupMatrix"],
    grid: [
      Math.ceil(part.rows / rows),
      Math.ceil(part.height / columns),
      slices?.count ?? 1,
    ],
  };
}
