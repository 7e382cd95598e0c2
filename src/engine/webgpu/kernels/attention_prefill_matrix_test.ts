// Causal attention by subgroup matrices on devices that have none: the kernel's text
// runs as it is, its matrix functions replaced by loops.

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  assertAnswers,
  assertDawnTakes,
  DAWN,
  emulated,
  LEFT,
  type Replacement,
  RESULT,
  RIGHT,
  THREADS,
} from "../../../../tests/fixtures/emulated_matrices.ts";
import { requirement } from "../../../../tests/fixtures/requirements.ts";
import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import type { AttentionPrefillArgs } from "./attention_prefill.ts";
import {
  MATRIX_PREFILL_SHAPES,
  matrixPrefillBytes,
  matrixPrefillCandidates,
  type MatrixPrefillShape,
  matrixPrefillShape,
  matrixPrefillUse,
} from "./attention_prefill_matrix.ts";
import {
  type MatrixPrefillCase,
  matrixPrefillCase,
} from "./cases/attention_prefill_matrix_cases.ts";
import { dispatchOf, shaderOf, type View } from "./kernel.ts";
import { ignoreTuned, useTables } from "./tuned.ts";

// Of a result each lane holds 8 numbers in a row of its own, and others than those
// it scales; so of a query's matrix it holds that row. Keys, weights and values are
// multiplied before the next barrier: they are where they begin.
const FUNCTIONS = `
const SCORE_RESULT = $(ROW_BLOCKS * V / 2)u;
var<private> queries: array<vec4<u32>, $(ROW_BLOCKS * W / 8)>;
var<private> held: array<f32, $(ROW_BLOCKS * V / 2 + ROW_BLOCKS * 8)>;
var<workgroup> shuffled: array<f32, $THREADS>;

fn loadQuery(query: u32, offset: u32, stride: u32) -> u32 {
  queries[query] = weights[offset + ownLane / 2u * stride];
  queries[query + 1u] = weights[offset + ownLane / 2u * stride + 1u];
  return query;
}

fn beginKeys(offset: u32, stride: u32) -> u32 { return offset + (stride - KEY_LINE); }

fn beginValues(offset: u32, stride: u32) -> u32 { return offset + (stride - VALUE_LINE); }

fn beginWeights(offset: u32, stride: u32) -> u32 { return offset + (stride - WEIGHT_LINE); }

fn zeroed(result: u32) -> u32 {
  for (var e = 0u; e < rolled(8u); e++) { held[result + e] = 0.0; }
  return result;
}

fn multiplyKeys(query: u32, key: u32, result: u32) -> u32 {
  for (var e = 0u; e < rolled(8u); e++) {
    let line = key + (ownLane % 2u * 8u + e) * KEY_LINE;
    for (var k = 0u; k < rolled(16u); k++) {
      held[result + e] += half(queries[query + k / 8u], k % 8u) * half(key_tile[line + k / 8u], k % 8u);
    }
  }
  return result;
}

fn multiplyValues(weight: u32, value: u32, result: u32) -> u32 {
  for (var k = 0u; k < rolled(16u); k++) {
    let unit = value_tile[value + k * VALUE_LINE + ownLane % 2u];
    let factor = half(weights[weight + ownLane / 2u * WEIGHT_LINE + k / 8u], k % 8u);
    for (var e = 0u; e < rolled(8u); e++) { held[result + e] += factor * half(unit, e); }
  }
  return result;
}

fn scoreIndex(offset: u32, stride: u32) -> u32 {
  return offset + ownLane / 2u * stride + ownLane % 2u * 2u;
}

fn storeScores(offset: u32, result: u32, stride: u32) {
  let at = scoreIndex(offset, stride);
  for (var e = 0u; e < rolled(2u); e++) {
    let first = result + 4u * e;
    scores[at + e] = vec4<f32>(held[first], held[first + 1u], held[first + 2u], held[first + 3u]);
  }
}

fn loadScores(result: u32, offset: u32, stride: u32) -> u32 {
  let at = scoreIndex(offset, stride);
  for (var e = 0u; e < rolled(8u); e++) { held[result + e] = scores[at + e / 4u][e % 4u]; }
  return result;
}

fn shuffleXor(thread: u32, value: f32, mask: u32) -> f32 {
  shuffled[thread] = value;
  workgroupBarrier();
  let other = shuffled[thread ^ mask];
  workgroupBarrier();
  return other;
}
`;

const REPLACEMENTS: readonly Replacement[] = [
  [
    `+ j) = subgroupMatrixLoad<${LEFT}, row_major>(&weights, `,
    "+ j) = loadQuery($(a * W / 8 + chunk * KEYS / 8 + j * 2)u, ",
  ],
  [`subgroupMatrixLoad<${RIGHT}, col_major>(&key_tile, `, "beginKeys("],
  [`subgroupMatrixLoad<${RIGHT}, row_major>(&value_tile, `, "beginValues("],
  [`subgroupMatrixLoad<${LEFT}, row_major>(&weights, `, "beginWeights("],
  [
    `subgroupMatrixLoad<${RESULT}, row_major>(&scores, `,
    "loadScores($(a * V / 2 + chunk * KEYS / 2 + j * 8)u, ",
  ],
  ["subgroupMatrixStore<row_major>(&scores, ", "storeScores("],
  ["subgroupMatrixMultiplyAccumulate(query", "multiplyKeys(query"],
  ["subgroupMatrixMultiplyAccumulate(weight", "multiplyValues(weight"],
  [
    `var sum$(a)_$(c) = ${RESULT}()`,
    "var sum$(a)_$(c) = zeroed($(a * V / 2 + c * 8)u)",
  ],
  [
    `var score$(a) = ${RESULT}()`,
    "var score$(a) = zeroed(SCORE_RESULT + $(a * 8)u)",
  ],
  ["subgroupShuffleXor(", "shuffleXor(thread, "],
  ...THREADS,
];

/** The dispatch with emulated matrices. */
function emulatedPrefill(
  arena: Arena,
  args: AttentionPrefillArgs,
): Dispatch[] {
  const use = matrixPrefillUse(args, args.matrix!);
  // The part with loops of its own, before they are unrolled.
  const score = Deno.readTextFileSync(
    new URL("attention_prefill_matrix_score.wgsl", import.meta.url),
  );
  const source = use.source.replaceAll("$SCORE\n", score);
  const whole = emulated({ ...use, source }, REPLACEMENTS, FUNCTIONS);
  return [dispatchOf(arena, whole)];
}

const SMALL = { heads: 3, groups: 1, nope: 16, rotary: 0, value: 16 };
const TWO = [{ past: 0, rows: 21 }, { past: 45, rows: 40 }];

const SHAPE: MatrixPrefillShape = {
  subgroups: 1,
  rowBlocks: 1,
  keys: 32,
};

const CASES: readonly MatrixPrefillCase[] = [
  { ...SMALL, sequences: TWO, tileRows: 32, shape: SHAPE, gap: 8 },
  {
    ...SMALL,
    heads: 2,
    sequences: [{ past: 40, rows: 30 }],
    tileRows: 16,
    shape: SHAPE,
    spread: 20,
    outElement: "f32",
  },
  {
    ...SMALL,
    heads: 1,
    value: 48,
    sequences: [{ past: 70, rows: 33 }],
    tileRows: 64,
    shape: { ...SHAPE, rowBlocks: 2 },
    spread: 20,
  },
  // More columns than a queries' chunk has; keys of two parts.
  {
    ...SMALL,
    heads: 2,
    groups: 2,
    nope: 56,
    rotary: 24,
    sequences: [{ past: 3, rows: 40 }],
    tileRows: 64,
    shape: SHAPE,
  },
  {
    ...SMALL,
    heads: 2,
    groups: 2,
    nope: 8,
    rotary: 8,
    rotaryFirst: true,
    sequences: TWO,
    tileRows: 128,
    shape: { ...SHAPE, subgroups: 2, rowBlocks: 2, keys: 64 },
    spread: 20,
  },
  {
    ...SMALL,
    heads: 2,
    nope: 64,
    value: 80,
    sequences: [{ past: 0, rows: 1 }, { past: 31, rows: 34 }],
    tileRows: 64,
    shape: { ...SHAPE, subgroups: 4 },
  },
];

Deno.test({
  name: "matrixPrefillUse() attends as its text says",
  ignore: requirement("deno-gpu").ignore,
  fn: () =>
    assertAnswers(
      CASES.map((sizes) => matrixPrefillCase(sizes, emulatedPrefill)),
    ),
});

Deno.test({
  name:
    "matrixPrefillUse() writes WGSL that Dawn takes, at the widths of real models",
  ignore: requirement("dawn-gpu").ignore,
  async fn() {
    const shaders = MATRIX_PREFILL_SHAPES.flatMap((shape) =>
      REAL.map((args) => shaderOf(DAWN, matrixPrefillUse(args, shape)))
    );
    await assertDawnTakes(shaders);
  },
});

Deno.test("matrixPrefillCandidates() fit the device and its registers", () => {
  for (const args of REAL) {
    const shapes = matrixPrefillCandidates(DAWN, args);
    assert(shapes.length > 0, `none for ${args.nope} + ${args.rotary}`);
    for (const shape of shapes) {
      assert(matrixPrefillBytes(args, shape) <= 49152);
    }
  }
  assertEquals(matrixPrefillCandidates(DAWN, REAL[1]!)[0]?.rowBlocks, 1);
});

Deno.test("matrixPrefillShape() is what a table has for the widths, else the first that fits", () => {
  const gpu = { ...DAWN } as Gpu;
  const [first, second] = matrixPrefillCandidates(gpu, REAL[0]!);
  assert(second !== undefined);
  ignoreTuned(gpu);
  assertEquals(matrixPrefillShape(gpu, REAL[0]!), first);
  useTables(gpu, [{
    name: "own",
    table: {
      format: 1,
      adapter: "GPU",
      driver: "",
      provider: "dawn",
      date: "",
      deno: "",
      kernels: { attention_prefill_matrix: { "64+0 64": { ...second } } },
    },
  }]);
  assertEquals(matrixPrefillShape(gpu, REAL[0]!), second);
  // Wide rows are shared by more.
  assertEquals(matrixPrefillShape(gpu, REAL[1]!)?.subgroups, 8);
  const [only] = matrixPrefillCandidates(gpu, REAL[3]!);
  assertEquals(matrixPrefillShape(gpu, REAL[3]!), only);
});

Deno.test("matrixPrefillCandidates() are none where numbers are f32, widths odd or matrices missing", () => {
  const args = argsOf(64, 0, 64);
  const f32 = { ...args.key, element: "f32" as const };
  for (
    const wrong of [
      { ...args, key: f32 },
      { ...args, values: f32 },
      { ...args, lse: NO_BUFFER },
      { ...args, nope: 60 },
      { ...args, value: 40 },
      { ...args, key: { ...args.key, offset: 4 } },
    ]
  ) {
    assertEquals(matrixPrefillCandidates(DAWN, wrong), []);
    assertThrows(
      () => matrixPrefillUse(wrong, SHAPE),
      RangeError,
      "Cannot attend by subgroup matrices",
    );
  }
  const plain = { ...DAWN, features: { ...DAWN.features, f16: false } } as Gpu;
  assertEquals(matrixPrefillCandidates(plain, args), []);
});

const NO_BUFFER = {} as GPUBuffer;

const REAL = [
  argsOf(64, 0, 64),
  argsOf(128, 0, 128),
  argsOf(64, 64, 64),
  argsOf(128, 64, 128),
  argsOf(80, 0, 80),
  argsOf(96, 0, 96, "f32"),
];

function argsOf(
  nope: number,
  rotary: number,
  value: number,
  out: View["element"] = "f16",
): AttentionPrefillArgs {
  const view = (element: View["element"], stride: number): View => ({
    buffer: NO_BUFFER,
    element,
    offset: 0,
    stride,
  });
  return {
    query: view("f32", nope + rotary),
    queryNope: 0,
    queryRotary: nope,
    heads: 1,
    groups: 1,
    nope,
    rotary,
    scale: 1,
    key: view("f16", nope),
    keyGroupStride: nope,
    ...(rotary > 0 ? { rotaryKey: view("f16", rotary) } : {}),
    capacity: 1,
    value,
    values: view("f16", value),
    valueGroupStride: value,
    tiles: NO_BUFFER,
    tileCount: 1,
    tileRows: 128,
    out: view(out, value),
  };
}
