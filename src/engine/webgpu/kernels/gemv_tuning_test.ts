import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../device/gpu.ts";
import {
  foldedRows,
  fusedStepRows,
  gemvCandidates,
  type GemvForm,
  gemvRows,
  gemvShape,
} from "./gemv_tuning.ts";
import { useTables } from "./tuned.ts";
import { TUNING_FORMAT, type TuningTable } from "./tuning_table.ts";

const FORMS: readonly GemvForm[] = [
  "plain",
  "norm",
  "gatedSilu",
  "scaled",
  "residual",
  "gated",
];

Deno.test("gemvShape() shares rows by workgroups where subgroups vary in size", () => {
  const size = {
    columns: 1,
    height: 4096,
    width: 4096,
    form: "plain",
  } as const;
  assert(gemvShape(gpuOf(32), size).subgroups);
  assert(!gemvShape(gpuOf(0), size).subgroups);
  assertEquals(fusedStepRows(gpuOf(0), "f16"), 0);
});

Deno.test("gemvRows() are fewer where matrices multiply halves", () => {
  assertEquals(gemvRows(gpuOf(32), "f16"), 8);
  const gpu = gpuOf(32);
  const matrices = {
    ...gpu,
    features: { ...gpu.features, subgroupMatrix: true },
  };
  assertEquals(gemvRows(matrices, "f16"), 4);
  assertEquals(fusedStepRows(matrices, "f16"), 4);
  assertEquals(gemvRows(matrices, "f32"), 8);
  assertEquals(foldedRows(matrices, "f16", "gatedSilu"), 2);
  const table = tableWith(matrices.facts, { gemv_rows: { f16: { rows: 1 } } });
  useTables(matrices, [{ name: "own", table }]);
  assertEquals(foldedRows(matrices, "f16", "gatedSilu"), 1);
});

Deno.test("gemvShape() keeps the sums of a workgroup in its memory", () => {
  for (const columns of [1, 2, 4, 8, 16]) {
    const size = { columns, height: 32000, width: 4096, form: "norm" } as const;
    const { threads, rows } = gemvShape(gpuOf(0), size);
    // The sums, and with a norm the sums of squares.
    assert(4 * threads * (rows + 1) * columns <= 30 * 1024, `${columns}`);
  }
});

Deno.test("gemvCandidates() are few, differ, and begin with the chosen one", () => {
  for (const form of FORMS) {
    for (const columns of [1, 2, 3, 4, 8, 16]) {
      const size = { columns, height: 4096, width: 4096, form };
      const shapes = gemvCandidates(gpuOf(32), size);
      assert(shapes.length > 1 && shapes.length <= 8);
      assertEquals(shapes[0], gemvShape(gpuOf(32), size));
      const keys = shapes.map((shape) => JSON.stringify(Object.values(shape)));
      assertEquals(new Set(keys).size, keys.length);
      assertEquals(gemvCandidates(gpuOf(0), size), []);
      const small = gemvCandidates(gpuOf(32, 128), size);
      assert(small.every(({ threads }) => threads <= 128));
    }
  }
});

function tableWith(
  { name: adapter, provider }: Gpu["facts"],
  kernels: TuningTable["kernels"],
): TuningTable {
  return {
    format: TUNING_FORMAT,
    adapter,
    driver: "",
    provider,
    date: "2026-11-24",
    deno: "2.9.6",
    kernels,
  };
}

function gpuOf(subgroupSize: number, threads = 1024): Gpu {
  const limits = { maxComputeInvocationsPerWorkgroup: threads };
  return {
    features: { f16: true, subgroups: true },
    facts: {
      provider: "deno",
      name: "a GPU",
      driver: "",
      software: false,
      subgroupSize,
      limits,
    },
  } as unknown as Gpu;
}
