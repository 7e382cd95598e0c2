// Decode attention by subgroup matrices on devices that have none: the kernel's text
// runs as it is, its matrix functions replaced by loops.

import { assert } from "@std/assert";
import {
  assertAnswers,
  assertDawnTakes,
  emulated,
  latentArgs,
  LEFT,
  type Replacement,
  RESULT,
  RIGHT,
  THREADS,
  TILE_FUNCTIONS,
} from "../../../../tests/fixtures/emulated_matrices.ts";
import { requirement } from "../../../../tests/fixtures/requirements.ts";
import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import type { AttentionDecodeArgs } from "./attention_decode.ts";
import { matrixDecodeUse } from "./attention_decode_matrix.ts";
import {
  type MatrixDecodeShape,
  matrixLayout,
} from "./attention_matrix_layout.ts";
import {
  MATRIX_DESIGNS,
  type MatrixDesign,
} from "./attention_matrix_tuning.ts";
import {
  latentSizes,
  type MatrixDecodeCase,
  matrixDecodeCase,
} from "./cases/attention_decode_matrix_cases.ts";
import { dispatchOf, shaderOf } from "./kernel.ts";

const FUNCTIONS = `
const SCORE = $(ROW_BLOCKS * COLUMNS * 8)u;
var<private> queries: array<vec4<u32>, $(FRAGMENTS * 2)>;
var<private> held: array<f32, $((ROW_BLOCKS * COLUMNS + 1) * 8)>;

fn storeScores(offset: u32, result: u32, stride: u32) {
  let at = offset + ownLane / 2u * stride + ownLane % 2u * 8u;
  for (var e = 0u; e < rolled(8u); e++) { scores[at + e] = held[result + e]; }
}

fn loadScores(result: u32, offset: u32, stride: u32) -> u32 {
  let at = offset + ownLane / 2u * stride + ownLane % 2u * 8u;
  for (var e = 0u; e < rolled(8u); e++) { held[result + e] = scores[at + e]; }
  return result;
}
`;

const SUM = "$((a * COLUMNS + c) * 8)u";

const REPLACEMENTS: readonly Replacement[] = [
  [
    `query$(f) = subgroupMatrixLoad<${LEFT}, row_major>(&tile, `,
    "query$(f) = loadQuery($(f)u, ",
  ],
  [`subgroupMatrixLoad<${RIGHT}, col_major>(&tile, `, "beginTile("],
  [`subgroupMatrixLoad<${RIGHT}, row_major>(&tile, `, "beginTile("],
  [`subgroupMatrixLoad<${LEFT}, row_major>(&weights, `, "beginWeights("],
  [
    `subgroupMatrixLoad<${RESULT}, row_major>(&scores, `,
    `loadScores(${SUM}, `,
  ],
  ["subgroupMatrixStore<row_major>(&scores, ", "storeScores("],
  ["subgroupMatrixMultiplyAccumulate(query", "multiplyKeys(query"],
  ["subgroupMatrixMultiplyAccumulate(weight", "multiplyValues(weight"],
  [`var sum$(a)_$(c) = ${RESULT}()`, `var sum$(a)_$(c) = zeroed(${SUM})`],
  [
    `var score = ${RESULT}()`,
    "var score = zeroed(SCORE)",
  ],
  ["subgroupShuffleXor(pair", "shuffleHalves(thread, pair"],
  ["subgroupShuffleXor(four", "shuffleHalves(thread, four"],
  ["subgroupShuffleXor(", "shuffleXor(thread, "],
  ...THREADS,
];

/** The dispatch with emulated matrices. */
function emulatedDecode(arena: Arena, args: AttentionDecodeArgs): Dispatch[] {
  const use = matrixDecodeUse(args, args.matrix!, NOTHING);
  return [
    dispatchOf(arena, emulated(use, REPLACEMENTS, FUNCTIONS + TILE_FUNCTIONS)),
  ];
}

const PIPE: MatrixDesign = {
  tokens: 16,
  buffers: 2,
  rowBlocks: 2,
  skips: false,
};
const BRANCH: MatrixDesign = { ...PIPE, skips: true };
const SEQUENCE: MatrixDesign = {
  tokens: 32,
  buffers: 1,
  rowBlocks: 2,
  skips: true,
};
const SMALL = { heads: 17, rank: 64, rotary: 16, splits: 1 };

const CASES: readonly MatrixDecodeCase[] = [
  { ...SMALL, lengths: [40, 0], design: PIPE },
  { ...SMALL, lengths: [47], splits: 2, design: BRANCH, spread: 12 },
  { ...SMALL, lengths: [70], design: PIPE, spread: 12 },
  { ...SMALL, lengths: [70, 3], splits: 2, design: SEQUENCE, spread: 12 },
  // Every subgroup has two matrices of each block of heads.
  { ...SMALL, heads: 32, rank: 136, rotary: 24, lengths: [20], design: PIPE },
  {
    ...SMALL,
    heads: 9,
    rank: 88,
    lengths: [50],
    design: { ...PIPE, rowBlocks: 1 },
    spread: 12,
  },
  {
    ...SMALL,
    heads: 16,
    lengths: [50],
    splits: 3,
    design: { ...SEQUENCE, rowBlocks: 1 },
  },
  {
    ...SMALL,
    heads: 20,
    lengths: [40],
    design: { ...SEQUENCE, tokens: 16, rowBlocks: 1 },
    spread: 12,
  },
];

Deno.test({
  name: "matrixDecodeUse() attends as its text says",
  ignore: requirement("deno-gpu").ignore,
  fn: () =>
    assertAnswers(
      CASES.map((shape) => matrixDecodeCase(shape, emulatedDecode)),
    ),
});

Deno.test({
  name:
    "matrixDecodeUse() writes WGSL that Dawn takes, at the widths of real models",
  ignore: requirement("dawn-gpu").ignore,
  async fn() {
    const dawn = { facts: { provider: "dawn" } } as Gpu;
    const shaders = MATRIX_DESIGNS.flatMap((design) =>
      [[512, 64], [448, 64], [256, 32], [88, 64], [64, 16]].map(
        ([rank = 0, rotary = 0]) => {
          const shape = { ...design, splits: 4 };
          return shaderOf(
            dawn,
            matrixDecodeUse(latentArgs(32, rank, rotary), shape, NOTHING),
          );
        },
      )
    );
    await assertDawnTakes(shaders);
  },
});

Deno.test("matrixLayout() stays within 48 KiB of workgroup memory", () => {
  const most = 49152;
  const bytes = (rank: number, design: MatrixDesign) => {
    const shape: MatrixDecodeShape = { ...design, splits: 1 };
    return matrixLayout(latentSizes(32, rank, 64), shape).bytes;
  };
  for (
    const design of [PIPE, SEQUENCE, { ...SEQUENCE, rowBlocks: 1 } as const]
  ) {
    assert(bytes(512, design) <= most);
  }
  assert(bytes(960, PIPE) > most);
  assert(bytes(960, { ...SEQUENCE, tokens: 16, rowBlocks: 1 }) <= most);
});

const NOTHING = { bytes: 0, flops: 0 };
