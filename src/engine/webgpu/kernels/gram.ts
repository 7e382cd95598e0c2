// Second moments of activations with a constant 1 appended, weighted by token:
// what calibration collects.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { dispatchOf, ELEMENT_BYTES, readWgsl, type View } from "./kernel.ts";

const SOURCE = readWgsl("./gram.wgsl", import.meta.url);

/** Rows whose products are summed before they join the total. */
const SPAN = 256;

/** Shape of the work of a workgroup of 16 x 16 threads. */
export interface GramTile {
  /** Rows and columns of a tile: 64 or 128. */
  readonly tile: number;
  /** Rows of h in workgroup memory at a time; divides 256. */
  readonly step: number;
}

/** What gram() reads and writes. */
export interface GramArgs {
  /** h, [rows, width]. */
  readonly x: View;
  readonly rows: number;
  /** D. */
  readonly width: number;
  /** f32 [rows]; 1 each where missing. */
  readonly weights?: GPUBuffer;
  /** f32 [(D+1)·(D+1)]: sum_t w_t [h_t;1][h_t;1]^T, the whole matrix. */
  readonly out: GPUBuffer;
  /** Whether to add to what `out` holds. */
  readonly accumulate: boolean;
  /** @default tiles of 128 where they still fill a GPU, else 64; 8 rows a step on software adapters, else 16 */
  readonly tile?: GramTile;
}

/**
 * Sums the outer products of rows, a 1 appended to each.
 *
 * @param arena Owns the parameters.
 * @param args Rows, weights and where to write.
 * @returns One dispatch.
 * @throws {RangeError} If there are no rows or no columns.
 */
export function gram(arena: Arena, args: GramArgs): Dispatch[] {
  const { x, rows, width, weights, out } = args;
  if (!(rows > 0 && width > 0)) {
    throw new RangeError(
      `Cannot sum moments as rows and width must be positive: current values are ${rows} and ${width}`,
    );
  }
  const { element, offset, stride } = x;
  const { tile, step } = args.tile ?? tileFor(arena, width);
  const vector = offset % 4 === 0 && stride % 4 === 0;
  const size = width + 1;
  const tiles = Math.ceil(size / tile);
  return [dispatchOf(arena, {
    label: `gram [${rows}, ${width}]`,
    source: SOURCE,
    constants: {
      VECTOR: vector,
      WEIGHTS: weights !== undefined,
      TILE: tile,
      T: tile / 16,
      STEP: step,
      SPAN,
    },
    bindings: {
      x: {
        buffer: x.buffer,
        type: vector ? `array<vec4<${element}>>` : `array<${element}>`,
        access: "read",
      },
      ...(weights === undefined ? {} : {
        weights: { buffer: weights, type: "array<f32>", access: "read" },
      }),
      moments: { buffer: out, type: "array<f32>", access: "read_write" },
    },
    params: {
      offset: { u32: offset },
      stride: { u32: stride },
      rows: { u32: rows },
      width: { u32: width },
      accumulate: { u32: args.accumulate ? 1 : 0 },
    },
    grid: [tiles, tiles, 1],
    bytes: rows * width * ELEMENT_BYTES[element] +
      size * size * 4 * (args.accumulate ? 2 : 1),
    // Symmetric: half of the products are needed.
    flops: rows * size * (size + 1),
  })];
}

function tileFor({ gpu }: Arena, width: number): GramTile {
  if (gpu.facts.software) return { tile: 64, step: 8 };
  return { tile: width >= 2048 ? 128 : 64, step: 16 };
}
