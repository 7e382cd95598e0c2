// The kernel of subgroup matrices on devices that have none: its text runs as it is,
// its matrix functions replaced by loops.

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
import { absorbMatrixUse, type AbsorbStoreArgs } from "./absorb_store.ts";
import type { AttentionMergeArgs, ValueUp } from "./attention_merge.ts";
import {
  absorbStoreCase,
  type AbsorbStoreShape,
} from "./cases/absorb_store_cases.ts";
import { mergeCase, type MergeShape } from "./cases/attention_merge_cases.ts";
import { matrixTile } from "./gemm_tile.ts";
import { dispatchOf, type KernelUse, shaderOf, type View } from "./kernel.ts";
import { latentValuesUse } from "./latent_product.ts";
import { keyTiles, valueTiles } from "./latent_product_tuning.ts";

// As on most GPUs.
const LANES = 32;

// A left or right matrix is where it begins in its tile; a result is a number, and
// each lane holds its share of it.
const FUNCTIONS = `
const SHARE = $(256 / LANES)u;
var<private> held: array<f32, $(ROWS * COLUMNS * 256 / LANES)>;

fn beginX(offset: u32, stride: u32) -> u32 { return offset + (stride - X_LINE); }
fn beginW(offset: u32, stride: u32) -> u32 { return offset + (stride - W_LINE); }

fn multiply(left: u32, right: u32, result: u32) -> u32 {
  for (var e = 0u; e < rolled(SHARE); e++) {
    let at = e * $(LANES)u + ownLane;
    for (var k = 0u; k < rolled(16u); k++) {
      let a = half(xTile[left + at / 16u * X_LINE + k / 8u], k % 8u);
#if KEYS
      let b = half(wTile[right + k * W_LINE + at % 16u / 8u], at % 8u);
#else
      let b = half(wTile[right + at % 16u * W_LINE + k / 8u], k % 8u);
#end
      held[result * SHARE + e] += a * b;
    }
  }
  return result;
}

fn storeSums(offset: u32, result: u32, stride: u32) {
  for (var e = 0u; e < rolled(SHARE); e++) {
    let at = e * $(LANES)u + ownLane;
    sums[offset + at / 16u * stride + at % 16u] = held[result * SHARE + e];
  }
}
`;

const REPLACEMENTS: readonly Replacement[] = [
  [`subgroupMatrixLoad<${LEFT}, row_major>(&xTile, `, "beginX("],
  [`subgroupMatrixLoad<${RIGHT}, col_major>(&wTile, `, "beginW("],
  [`subgroupMatrixLoad<${RIGHT}, row_major>(&wTile, `, "beginW("],
  ["subgroupMatrixStore<row_major>(&sums, ", "storeSums("],
  ["subgroupMatrixMultiplyAccumulate(", "multiply("],
  [`${RESULT}()`, "$(i * COLUMNS + j)u"],
  ["  @builtin(subgroup_id) subgroup: u32,\n", ""],
  ["  @builtin(subgroup_invocation_id) lane: u32,\n", ""],
  [
    "  let head = group.y;\n  let firstI =",
    "  let subgroup = thread / $(LANES)u;\n  let lane = thread % $(LANES)u;\n  ownLane = lane;\n  let head = group.y;\n  let firstI =",
  ],
];

/** The dispatch with emulated matrices. */
function emulatedProduct(arena: Arena, use: KernelUse): Dispatch[] {
  return [dispatchOf(arena, emulated(use, REPLACEMENTS, FUNCTIONS))];
}

const MERGE: MergeShape = {
  label: "",
  batch: 18,
  heads: 3,
  splits: 1,
  width: 40,
  means: true,
  up: { groups: 3, value: 37, firstRow: 2, rowsAfter: 1, element: "f16" },
  tile: matrixTile(16, 32, 16, 1, 1),
};

// Several steps, the last cut short; whole ones; subgroups on both sides; splits kept
// in flight, more of them, sums instead of means; two units of a thread.
const MERGES: readonly MergeShape[] = [
  { ...MERGE, label: "1 split" },
  {
    ...MERGE,
    label: "4 splits",
    heads: 2,
    batch: 33,
    splits: 4,
    width: 64,
    tile: matrixTile(32, 32, 32, 2, 1),
    outElement: "f16",
  },
  { ...MERGE, label: "11 splits", splits: 11, heads: 6 },
  { ...MERGE, label: "sums", splits: 3, means: false },
  { ...MERGE, label: "sums, 1 split", batch: 9, means: false },
  { ...MERGE, label: "2x2", splits: 2, tile: matrixTile(32, 64, 64, 2, 2) },
];

const ABSORB: AbsorbStoreShape = {
  label: "18 rows",
  positions: Array.from({ length: 18 }, (_, i) => i % 5),
  heads: 3,
  groups: 3,
  nope: 40,
  rotary: 8,
  rank: 72,
  layout: "interleaved",
  element: "f16",
  cache: ["f16", "f16"],
  tile: matrixTile(16, 32, 16, 1, 1),
};

const ABSORBS: readonly AbsorbStoreShape[] = [
  ABSORB,
  {
    ...ABSORB,
    label: "whole",
    heads: 4,
    groups: 2,
    nope: 64,
    rotaryFirst: true,
    layout: "half",
    tile: matrixTile(32, 64, 64, 2, 2),
  },
  { ...ABSORB, label: "1x2", tile: matrixTile(16, 64, 32, 1, 2) },
];

Deno.test({
  name: "latentValuesUse() and latentKeysUse() multiply as their text says",
  ignore: requirement("deno-gpu").ignore,
  fn: () =>
    assertAnswers([
      ...MERGES.map((shape) =>
        mergeCase(shape, (arena, args) => {
          const use = latentValuesUse(args, args.up!, shape.tile!, LANES);
          return emulatedProduct(arena, use);
        })
      ),
      ...ABSORBS.map((shape) =>
        absorbStoreCase(
          shape,
          (arena, args) =>
            emulatedProduct(arena, absorbMatrixUse(args, shape.tile!, LANES)),
        )
      ),
    ]),
});

Deno.test({
  name: "latentValuesUse() and latentKeysUse() write WGSL that Dawn takes",
  ignore: requirement("dawn-gpu").ignore,
  async fn() {
    const dawn = { facts: { provider: "dawn" } } as Gpu;
    const uses = [
      ...[9, 64, 244].flatMap((rows) =>
        valueTiles(rows).flatMap((tile) =>
          ([[1, true], [4, true], [13, true], [2, false]] as const).map(
            ([splits, means]) =>
              latentValuesUse(mergeArgs(splits, means), UP, tile, LANES),
          )
        )
      ),
      ...[9, 64].flatMap((rows) =>
        keyTiles(rows).map((tile) => absorbMatrixUse(ABSORB_ARGS, tile, LANES))
      ),
    ];
    const shaders = uses.map((use) => shaderOf(dawn, use));
    await assertDawnTakes(shaders);
  },
});

const NO_BUFFER = {} as GPUBuffer;

function view(element: View["element"], stride: number): View {
  return { buffer: NO_BUFFER, element, offset: 0, stride };
}

const UP: ValueUp = {
  weight: view("f16", 512),
  groups: 32,
  firstRow: 0,
  rowsPerGroup: 128,
  value: 128,
};

function mergeArgs(splits: number, means: boolean): AttentionMergeArgs {
  return {
    partial: NO_BUFFER,
    stats: NO_BUFFER,
    batch: 9,
    heads: 32,
    splits,
    width: 512,
    means,
    up: UP,
    out: view(means ? "f16" : "f32", 4096),
  };
}

const ABSORB_ARGS: AbsorbStoreArgs = {
  x: view("f32", 6720),
  rows: 9,
  rowSequence: NO_BUFFER,
  rowPosition: NO_BUFFER,
  capacity: 8,
  table: { cos: NO_BUFFER, sin: NO_BUFFER, pairs: 32 },
  layout: "half",
  query: {
    start: 0,
    heads: 32,
    width: 192,
    rotaryStart: 128,
    rotaryWidth: 64,
  },
  first: {
    start: 6144,
    heads: 1,
    width: 512,
    rotaryStart: 0,
    rotaryWidth: 0,
    to: view("f16", 512),
  },
  second: {
    start: 6656,
    heads: 1,
    width: 64,
    rotaryStart: 0,
    rotaryWidth: 64,
    to: view("f16", 64),
  },
  groups: 32,
  keyUp: view("f16", 512),
  rank: 512,
  latentFirst: true,
  out: view("f32", 18432),
};
