// The kernel of subgroup matrices on devices that have none: its text runs as it is,
// its matrix functions replaced by loops.

import { assert, assertThrows } from "@std/assert";
import {
  assertAnswers,
  assertDawnTakes,
  emulated,
  LEFT,
  type Replacement,
  RESULT,
  RIGHT,
} from "../../../../tests/fixtures/emulated_matrices.ts";
import { requirement } from "../../../../tests/fixtures/requirements.ts";
import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { gemmMatrixUse } from "./gemm_matrix.ts";
import { type GemmArgs, gemmBy, gemmParts } from "./gemm.ts";
import type { GemmPart } from "./gemm_part.ts";
import {
  type GemmTile,
  type MatrixTile,
  matrixTile,
  tileFault,
} from "./gemm_tile.ts";
import { candidateTiles } from "./gemm_candidates.ts";
import { shaderOf, type View } from "./kernel.ts";
import { gatedCase } from "./cases/gated_case.ts";
import { productCase, type ProductShape } from "./cases/product_case.ts";

// As on most GPUs: fewer would be as many stores of each more.
const LANES = 32;

// A left or right matrix is where it begins in its tile; a result is a number, and
// each lane holds its share of it.
const FUNCTIONS = `
const SHARE = $(256 / LANES)u;
var<private> held: array<f32, $(ROWS * COLUMNS * 256 / LANES)>;

// A tile's lines are LINE apart in every load.
fn begin(offset: u32, stride: u32) -> u32 { return offset + (stride - LINE); }

fn multiply(left: u32, right: u32, result: u32) -> u32 {
  for (var e = 0u; e < rolled(SHARE); e++) {
    let at = e * $(LANES)u + ownLane;
    for (var k = 0u; k < rolled(16u); k++) {
      let a = half(xTile[left + at / 16u * LINE + k / 8u], k % 8u);
      let b = half(wTile[right + at % 16u * LINE + k / 8u], k % 8u);
      held[result * SHARE + e] += a * b;
    }
  }
  return result;
}

#if STAGED
fn storeSums(offset: u32, result: u32, stride: u32) {
  for (var e = 0u; e < rolled(SHARE); e++) {
    let at = e * $(LANES)u + ownLane;
    sums[offset + at / 16u * stride + at % 16u] = held[result * SHARE + e];
  }
}

#end
#if DIRECT
fn storeOutput(offset: u32, result: u32, stride: u32) {
  for (var e = 0u; e < rolled(SHARE); e++) {
    let at = e * $(LANES)u + ownLane;
    output[offset + at / 16u * stride + at % 16u] = held[result * SHARE + e];
  }
}

#end
#if ADDS
fn loadOutput(result: u32, offset: u32, stride: u32) -> u32 {
  for (var e = 0u; e < rolled(SHARE); e++) {
    let at = e * $(LANES)u + ownLane;
    held[result * SHARE + e] = output[offset + at / 16u * stride + at % 16u];
  }
  return result;
}
#end
`;

const REPLACEMENTS: readonly Replacement[] = [
  [`subgroupMatrixLoad<${LEFT}, row_major>(&xTile, `, "begin("],
  [`subgroupMatrixLoad<${RIGHT}, col_major>(&wTile, `, "begin("],
  ["subgroupMatrixStore<row_major>(&sums, own, ", "storeSums(own, "],
  [
    "subgroupMatrixStore<row_major>(&sums, own + SUMS, ",
    "storeSums(own + SUMS, ",
  ],
  ["subgroupMatrixStore<row_major>(&output, ", "storeOutput("],
  [
    `subgroupMatrixLoad<${RESULT}, row_major>(&output, `,
    "loadOutput($(i * COLUMNS + j)u, ",
  ],
  ["subgroupMatrixMultiplyAccumulate(", "multiply("],
  [`${RESULT}()`, "$(i * COLUMNS + j)u"],
  ["  @builtin(subgroup_id) subgroup: u32,\n", ""],
  [
    "  let firstI =",
    "  let subgroup = thread / $(LANES)u;\n  ownLane = thread % $(LANES)u;\n  let firstI =",
  ],
];

/** gemm() with emulated matrices. */
function emulatedGemm(
  arena: Arena,
  args: GemmArgs,
  tile: MatrixTile,
): Dispatch[] {
  return gemmBy(
    arena,
    args,
    tile,
    (part) =>
      emulated(gemmMatrixUse(part, tile, LANES), REPLACEMENTS, FUNCTIONS),
  );
}

const CASES: readonly (readonly [tile: MatrixTile, shape: ProductShape])[] = [
  // Whole tiles, then some that end inside; two subgroups side by side, each with
  // one above the other; three tiles deep.
  [matrixTile(32, 32, 16, 1, 2), product(80, 72, 40)],
  [matrixTile(32, 32, 32, 2, 1), product(33, 50, 96, { rowsPerPart: 19 })],
  [
    matrixTile(16, 32, 16, 1, 1),
    product(20, 40, 56, { bias: true, accumulate: true, outColumn: 3 }),
  ],
  [matrixTile(16, 16, 16, 1, 1), product(17, 16, 33, { xOffset: 1 })],
  [
    matrixTile(16, 16, 32, 1, 1),
    product(15, 35, 40, { firstWeightRow: 5, weightRows: 27, bias: true }),
  ],
  // Sums that begin with the output, in one tile of four; two tiles in turn, over
  // one step, two and five; slices, the last of them shorter.
  [matrixTile(16, 16, 16, 1, 1), product(20, 24, 32, { accumulate: true })],
  [matrixTile(16, 16, 16, 1, 1, { buffers: 2 }), product(16, 16, 16)],
  [matrixTile(16, 32, 16, 1, 1, { buffers: 2 }), product(15, 32, 32)],
  [matrixTile(32, 32, 16, 2, 1, { buffers: 2 }), product(18, 20, 77)],
  [
    matrixTile(16, 16, 16, 1, 1, { splits: 2 }),
    product(20, 28, 72, { bias: true, accumulate: true }),
  ],
  [
    matrixTile(16, 32, 32, 1, 2, { buffers: 2, splits: 3 }),
    product(17, 45, 144, { rowsPerPart: 30, outColumn: 1 }),
  ],
  // Lines that threads do not share evenly; more tiles ahead than there are, and
  // fewer; subgroups that share the columns of a tile, alone and in slices.
  [matrixTile(48, 16, 32, 3, 1), product(40, 20, 72)],
  [matrixTile(16, 48, 16, 1, 3, { ahead: 3 }), product(15, 50, 32)],
  [
    matrixTile(16, 16, 16, 1, 1, { ahead: 2, buffers: 2 }),
    product(17, 20, 80, { accumulate: true }),
  ],
  [
    matrixTile(16, 16, 16, 1, 1, { ahead: 3, buffers: 2, splits: 2 }),
    product(15, 16, 128),
  ],
  [
    matrixTile(16, 32, 64, 1, 1, { subgroupDepths: 4 }),
    product(17, 33, 136, { accumulate: true, bias: true }),
  ],
  [
    matrixTile(32, 32, 32, 2, 1, { subgroupDepths: 2, ahead: 2, splits: 2 }),
    product(20, 40, 128, { accumulate: true }),
  ],
];

// silu(gate)·up: subgroups side by side, shares of columns, slices.
const GATED_CASES: typeof CASES = [
  [matrixTile(16, 64, 16, 1, 2), product(17, 2 * 40, 40)],
  [matrixTile(32, 64, 32, 1, 1, { subgroupDepths: 2 }), product(20, 64, 72)],
  [matrixTile(16, 32, 16, 1, 1, { ahead: 2 }), product(15, 2 * 23, 40)],
  [matrixTile(16, 32, 16, 1, 1, { splits: 2 }), product(18, 2 * 20, 80)],
];

const HALF_CASES: typeof CASES = [
  [matrixTile(32, 16, 32, 2, 1), product(35, 20, 48, { xElement: "f16" })],
  [
    matrixTile(16, 16, 16, 1, 1),
    product(18, 17, 21, { xElement: "f16", xOffset: 3, outElement: "f16" }),
  ],
  [
    matrixTile(16, 16, 32, 1, 1, { splits: 2 }),
    product(18, 20, 64, { xElement: "f16", outElement: "f16" }),
  ],
];

function product(
  rows: number,
  height: number,
  width: number,
  more: Partial<ProductShape> = {},
): ProductShape {
  return {
    rows,
    height,
    width,
    element: "f16",
    halfInput: true,
    std: 0.5,
    ...more,
  };
}

Deno.test({
  name: "gemmMatrixUse() multiplies as its text says",
  ignore: requirement("deno-gpu").ignore,
  async fn() {
    const kernel = (tile: MatrixTile) => (arena: Arena, args: GemmArgs) =>
      emulatedGemm(arena, args, tile);
    const cases = [...CASES, ...HALF_CASES].map(([tile, shape]) =>
      productCase(shape, kernel(tile))
    );
    const gated = GATED_CASES.flatMap(([tile, shape]) =>
      (["f32", "f16"] as const).map((outElement) =>
        gatedCase({ ...shape, outElement }, kernel(tile))
      )
    );
    await assertAnswers([...cases, ...gated]);
  },
});

Deno.test({
  name: "gemmMatrixUse() writes WGSL that Dawn takes, with every option",
  ignore: requirement("dawn-gpu").ignore,
  async fn() {
    const dawn = { facts: { provider: "dawn" } } as Gpu;
    const tiles = [
      matrixTile(32, 64, 64, 1, 2),
      matrixTile(256, 128, 32, 4, 2),
      matrixTile(64, 64, 64, 2, 2, { buffers: 2 }),
      matrixTile(32, 96, 64, 1, 2, { subgroupDepths: 4, ahead: 2 }),
      matrixTile(48, 32, 32, 3, 1, { buffers: 2, ahead: 3 }),
    ];
    const options: Partial<GemmArgs>[] = [
      {},
      { bias: NO_BUFFER },
      { accumulate: true },
      { x: view("f16") },
      { x: view("f16", 3) },
      { x: view("f32", 1) },
      { out: view("f16") },
      { gated: true, out: view("f16") },
      { outColumn: 1 },
    ];
    const parts = [
      ...options.map(partOf),
      { ...partOf({}), slices: { count: 2, size: 4096 } },
    ];
    const shaders = tiles.flatMap((tile) =>
      parts.filter(({ gated }) => tileFault(tile, 32, gated) === undefined)
        .map((part) => shaderOf(dawn, gemmMatrixUse(part, tile, 32)))
    );
    await assertDawnTakes(shaders);
  },
});

Deno.test("gemmMatrixUse() takes every candidate", () => {
  const sizes = [8, 16, 30, 61, 122, 244, 2048].map((rows) => ({
    rows,
    height: 12288,
    width: 11008,
  }));
  const tiles = sizes.flatMap((size): readonly GemmTile[] =>
    candidateTiles("matrix", size)
  );
  assert(tiles.length > 50, `${tiles.length} tiles`);
  for (const tile of tiles) {
    if (tile.kind === "matrix") gemmMatrixUse(partOf({}), tile, 32);
  }
});

Deno.test("gemmMatrixUse() refuses tiles that subgroups and threads cannot share evenly", () => {
  for (
    const [tile, gated, message] of [
      [matrixTile(48, 48, 16, 2, 1), false, "rows must be a multiple of 32"],
      [matrixTile(16, 48, 16, 1, 2), false, "columns must be a multiple of 32"],
      [matrixTile(16, 48, 16, 1, 1), true, "columns must be a multiple of 32"],
      [
        matrixTile(16, 16, 16, 1, 1, { subgroupDepths: 2 }),
        false,
        "depth must be a multiple of 32",
      ],
      [matrixTile(16, 16, 48, 1, 1), false, "threads must be a multiple of 6"],
    ] as const
  ) {
    assertThrows(
      () => gemmMatrixUse(partOf({ gated }), tile, 32),
      RangeError,
      message,
    );
  }
});

const NO_BUFFER = {} as GPUBuffer;

function view(element: View["element"], offset = 0): View {
  return { buffer: NO_BUFFER, element, offset, stride: 16 };
}

function partOf(more: Partial<GemmArgs>): GemmPart {
  const [part] = gemmParts({
    x: view("f32"),
    rows: 4,
    weight: {
      rows: 8,
      columns: 16,
      stride: 16,
      element: "f16",
      parts: [{ buffer: NO_BUFFER, firstRow: 0, rows: 8 }],
    },
    out: view("f32"),
    ...more,
  });
  return part!;
}
