import { assert, assertEquals, assertThrows } from "@std/assert";
import { requirement } from "../../../../tests/fixtures/requirements.ts";
import { validateWgsl } from "../../../../tests/fixtures/validate_wgsl.ts";
import type { Arena } from "../device/gpu.ts";
import { FUSED_BENCHES, GEMV_CANDIDATES } from "./cases/gemv_candidates.ts";
import { caseRandom } from "./cases/run_case.ts";
import { gemv } from "./gemv.ts";
import { squaresOf } from "./gemv_subgroup.ts";
import type { View } from "./kernel.ts";

Deno.test({
  name: "gemv() of every shape of a decode step is valid WGSL with halves",
  ignore: requirement("dawn-gpu").ignore,
  async fn() {
    const codes = new Set<string>();
    const arena = arenaOf(32, codes);
    for (const one of [...FUSED_BENCHES, ...GEMV_CANDIDATES]) {
      one.prepare(arena, caseRandom(1));
    }
    const shaders = [...codes];
    assert(shaders.length > 50, `${shaders.length} shaders`);
    const messages = await validateWgsl(shaders);
    assertEquals(messages.filter((message) => message !== ""), []);
  },
});

Deno.test("gemv() refuses what the device or the matrix does not allow", () => {
  const buffer = {} as GPUBuffer;
  const view: View = { buffer, element: "f32", offset: 0, stride: 16 };
  const part = { buffer, firstRow: 0, rows: 8 };
  const weight = {
    rows: 8,
    columns: 16,
    stride: 16,
    element: "f32",
    parts: [part],
  } as const;
  const args = { x: view, rows: 1, weight, out: view };
  const without = arenaOf(0, new Set());
  const squares = squaresOf(without, 1, 1);
  const scaled = { kind: "scaled", squares, eps: 1e-5 } as const;
  assertThrows(
    () => gemv(without, { ...args, prologue: scaled }),
    RangeError,
    "scaled needs subgroups of one size",
  );
  const epilogue = { kind: "gated" } as const;
  assertThrows(
    () => gemv(without, { ...args, epilogue }),
    RangeError,
    "gated needs subgroups of one size",
  );
  const device = arenaOf(32, new Set());
  const parts = [part, { ...part, firstRow: 8 }];
  assertThrows(
    () => gemv(device, { ...args, weight: { ...weight, parts }, epilogue }),
    RangeError,
    "must be in one part: current value is 2",
  );
  assertThrows(
    () => gemv(device, { ...args, prologue: { kind: "gatedSilu" }, epilogue }),
    RangeError,
    "epilogue gated must not follow prologue gatedSilu",
  );
  assertThrows(
    () => gemv(device, { ...args, rows: 17 }),
    RangeError,
    "rows must be <= 16: current value is 17",
  );
});

/** An arena of a device that keeps the code it is given and makes nothing. */
function arenaOf(subgroupSize: number, codes: Set<string>): Arena {
  const limits = {
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupsPerDimension: 65535,
  };
  const arena = {
    gpu: {
      device: { createBindGroup: () => ({}) },
      features: { f16: true, subgroups: true, subgroupMatrix: false },
      facts: {
        provider: "dawn",
        name: "a GPU",
        driver: "",
        software: false,
        subgroupSize,
        limits,
      },
      pipeline(_label: string, code: string) {
        codes.add(code);
        return { getBindGroupLayout: () => ({}) };
      },
    },
    buffer: (_label: string, size: number) => ({ size }),
    upload: () => ({}),
    uniform: () => ({}),
  };
  return arena as unknown as Arena;
}
