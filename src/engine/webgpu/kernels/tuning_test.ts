import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../device/gpu.ts";
import { gemmInput, gemmTile } from "./tuning.ts";

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
    facts: { name: "", driver: "", software, subgroupSize, limits },
  } as unknown as Gpu;
}
