// Decode attention of rows in chunks on devices without subgroup matrices: the
// kernel's text runs as it is, its matrix functions replaced by loops.

import { assert, assertEquals } from "@std/assert";
import {
  assertAnswers,
  assertDawnTakes,
  DAWN,
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
import { chunkLayout, fitsMatrixDecode } from "./attention_matrix_layout.ts";
import {
  chunkedDesigns,
  matrixDecodeCandidates,
  matrixDecodeShape,
  type MatrixDesign,
} from "./attention_matrix_tuning.ts";
import {
  latentSizes,
  type MatrixDecodeCase,
  matrixDecodeCase,
} from "./cases/attention_decode_matrix_cases.ts";
import { dispatchOf, shaderOf } from "./kernel.ts";
import { ignoreTuned, useTables } from "./tuned.ts";

// Scores lie in vectors.
const FUNCTIONS = `
const SCORE = $(OUT_CHUNKS * FRAGMENTS * 8)u;
var<private> queries: array<vec4<u32>, $(CHUNKS * FRAGMENTS * 2)>;
var<private> held: array<f32, $((OUT_CHUNKS * FRAGMENTS + 1) * 8)>;

fn storeScores(offset: u32, result: u32, stride: u32) {
  let at = offset + ownLane / 2u * stride + ownLane % 2u * 2u;
  for (var e = 0u; e < rolled(2u); e++) {
    let held_at = result + 4u * e;
    scores[at + e] = vec4<f32>(held[held_at], held[held_at + 1u], held[held_at + 2u], held[held_at + 3u]);
  }
}

fn loadScores(result: u32, offset: u32, stride: u32) -> u32 {
  let at = offset + ownLane / 2u * stride + ownLane % 2u * 2u;
  for (var e = 0u; e < rolled(8u); e++) { held[result + e] = scores[at + e / 4u][e % 4u]; }
  return result;
}
`;

const QUERY = "query$(c * FRAGMENTS + f)";

const REPLACEMENTS: readonly Replacement[] = [
  [
    `${QUERY} = subgroupMatrixLoad<${LEFT}, row_major>(&tile, `,
    `${QUERY} = loadQuery($(c * FRAGMENTS + f)u, `,
  ],
  [`subgroupMatrixLoad<${RIGHT}, col_major>(&tile, `, "beginTile("],
  [`subgroupMatrixLoad<${RIGHT}, row_major>(&tile, `, "beginTile("],
  [`subgroupMatrixLoad<${LEFT}, row_major>(&weights, `, "beginWeights("],
  [
    `subgroupMatrixLoad<${RESULT}, row_major>(&scores, `,
    "loadScores($(c * 8)u, ",
  ],
  ["subgroupMatrixStore<row_major>(&scores, ", "storeScores("],
  ["subgroupMatrixMultiplyAccumulate(query", "multiplyKeys(query"],
  ["subgroupMatrixMultiplyAccumulate(weight", "multiplyValues(weight"],
  [`var sum$(c) = ${RESULT}()`, "var sum$(c) = zeroed($(c * 8)u)"],
  [`var score = ${RESULT}()`, "var score = zeroed(SCORE)"],
  ["subgroupShuffleXor(pairs", "shuffleHalves(thread, pairs"],
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

const DESIGN: MatrixDesign = {
  tokens: 16,
  buffers: 1,
  rowBlocks: 1,
  skips: true,
  chunk: 128,
};

const CASES: readonly MatrixDecodeCase[] = [
  // Two chunks, the second of latent, rotary key and padding.
  {
    heads: 17,
    rank: 136,
    rotary: 24,
    lengths: [40, 0],
    splits: 2,
    design: DESIGN,
  },
  // Sums are scaled again and again; each of two workgroups has one chunk of values.
  {
    heads: 9,
    rank: 240,
    rotary: 16,
    lengths: [70],
    splits: 1,
    design: { ...DESIGN, valueBlocks: 2 },
    spread: 12,
  },
  // Two of three workgroups have two chunks of values, one has one.
  {
    heads: 16,
    rank: 600,
    rotary: 40,
    lengths: [20],
    splits: 1,
    design: { ...DESIGN, valueBlocks: 3 },
    spread: 12,
  },
  {
    heads: 12,
    rank: 264,
    rotary: 8,
    lengths: [33, 50],
    splits: 3,
    design: { ...DESIGN, chunk: 256 },
  },
];

Deno.test({
  name: "matrixDecodeUse() of chunks attends as its text says",
  ignore: requirement("deno-gpu").ignore,
  fn: () =>
    assertAnswers(
      CASES.map((shape) => matrixDecodeCase(shape, emulatedDecode)),
    ),
});

Deno.test({
  name: "matrixDecodeUse() of chunks writes WGSL that Dawn takes",
  ignore: requirement("dawn-gpu").ignore,
  async fn() {
    const dawn = { facts: { provider: "dawn" } } as Gpu;
    const shaders = RANKS.flatMap((rank) =>
      chunkedDesigns(DAWN, latentSizes(32, rank, 64)).map((design) => {
        const shape = { ...design, splits: 4 };
        const use = matrixDecodeUse(latentArgs(32, rank, 64), shape, NOTHING);
        return shaderOf(dawn, use);
      })
    );
    assert(shaders.length >= RANKS.length);
    await assertDawnTakes(shaders);
  },
});

Deno.test("chunkedDesigns() fit the device, and no workgroup has no values", () => {
  for (const rank of RANKS) {
    const sizes = latentSizes(32, rank, 64);
    const designs = chunkedDesigns(DAWN, sizes);
    assert(designs.length > 0, `none for ${rank}`);
    for (const { chunk, valueBlocks, ...rest } of designs) {
      const shape = { ...rest, chunk: chunk!, valueBlocks: valueBlocks! };
      assert(fitsMatrixDecode(DAWN, sizes, { ...shape, splits: 1 }));
      const { chunks, outChunks, bytes } = chunkLayout(
        sizes,
        chunk!,
        valueBlocks,
      );
      assert(bytes <= 49152);
      assert(chunks * chunk! >= rank + 64);
      assert(outChunks * valueBlocks! * chunk! >= rank);
      assert(outChunks * (valueBlocks! - 1) * chunk! < rank);
    }
  }
  const plain = { ...DAWN, features: { ...DAWN.features, f16: false } } as Gpu;
  assertEquals(chunkedDesigns(plain, latentSizes(32, 1472, 64)), []);
});

Deno.test("matrixDecodeShape() comes in chunks only where a table has them", () => {
  const size = {
    ...latentSizes(32, 1472, 64),
    elements: ["f16", "f16"] as const,
    batch: 1,
    capacity: 1024,
  };
  const gpu = { ...DAWN } as Gpu;
  ignoreTuned(gpu);
  assertEquals(matrixDecodeShape(gpu, size), undefined);
  const [shape] = matrixDecodeCandidates(gpu, size);
  assert(shape !== undefined);
  useTables(gpu, [{
    name: "own",
    table: {
      format: 1,
      adapter: "GPU",
      driver: "",
      provider: "dawn",
      date: "",
      deno: "",
      kernels: {
        attention_decode_matrix: { "mla 32/1x1472 1 1024": { ...shape } },
      },
    },
  }]);
  assertEquals(matrixDecodeShape(gpu, size), shape);
});

const RANKS = [1216, 1472, 2496];
const NOTHING = { bytes: 0, flops: 0 };
