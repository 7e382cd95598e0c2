import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../device/gpu.ts";
import { gemmInput, gemmTile, gemvShape } from "./tuning.ts";

Deno.test("gemmTile() takes subgroup matrices for f16 weights where their tile fits", () => {
  const size = { rows: 512, height: 4096, element: "f16" } as const;
  assertEquals(gemmTile(gpuOf({}), size).kind, "matrix");
  assertEquals(gemmInput(gpuOf({}), size), "f16");
  for (
    const [gpu, element] of [
      [gpuOf({}), "f32"],
      [gpuOf({ subgroupMatrix: false }), "f16"],
      [gpuOf({ subgroupSize: 0 }), "f16"],
      [gpuOf({ storage: 16384 }), "f16"],
    ] as const
  ) {
    assertEquals(gemmTile(gpu, { ...size, element }).kind, "registers");
    assertEquals(gemmInput(gpu, { ...size, element }), "f32");
  }
});

Deno.test("gemmTile() cuts small products into small tiles", () => {
  const areaOf = (rows: number, height: number, gpu: Gpu) => {
    const tile = gemmTile(gpu, { rows, height, element: "f32" });
    return tile.rows * tile.columns;
  };
  const gpu = gpuOf({});
  assert(areaOf(16, 4096, gpu) < areaOf(128, 4096, gpu));
  assert(areaOf(128, 4096, gpu) < areaOf(2048, 4096, gpu));
  assert(areaOf(2048, 4096, gpuOf({ software: true })) < areaOf(16, 64, gpu));
});

Deno.test("gemvShape() shares rows by workgroups where subgroups vary in size", () => {
  const size = { columns: 1, height: 4096, prologue: false };
  assert(gemvShape(gpuOf({}), size).subgroups);
  assert(!gemvShape(gpuOf({ subgroupSize: 0 }), size).subgroups);
});

Deno.test("gemvShape() keeps the sums of a workgroup in its memory", () => {
  for (const columns of [1, 2, 4, 8, 16]) {
    const gpu = gpuOf({ subgroupSize: 0 });
    const size = { columns, height: 32000, prologue: true };
    const { threads, rows } = gemvShape(gpu, size);
    // The sums, and with a norm the sums of squares.
    assert(4 * threads * (rows + 1) * columns <= 30 * 1024, `${columns}`);
  }
});

interface Facts {
  readonly subgroupMatrix?: boolean;
  readonly subgroupSize?: number;
  readonly storage?: number;
  readonly software?: boolean;
}

function gpuOf(
  {
    subgroupMatrix = true,
    subgroupSize = 32,
    storage = 49152,
    software = false,
  }: Facts,
): Gpu {
  const limits = {
    maxComputeWorkgroupStorageSize: storage,
    maxComputeInvocationsPerWorkgroup: 1024,
  };
  return {
    features: { f16: true, subgroups: true, subgroupMatrix },
    facts: { software, subgroupSize, limits },
  } as unknown as Gpu;
}
