import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../device/gpu.ts";
import { fitsTile, tileFault } from "./gemm_tile.ts";
import { gemmCandidates, gemmInput, gemmTile } from "./gemm_tuning.ts";

Deno.test("gemmTile() takes subgroup matrices for f16 weights where their tile fits", () => {
  const size = {
    rows: 512,
    height: 4096,
    width: 4096,
    element: "f16",
  } as const;
  assertEquals(gemmTile(gpuOf({}), size).kind, "matrix");
  assertEquals(gemmInput(gpuOf({}), "f16"), "f16");
  for (
    const [gpu, element] of [
      [gpuOf({}), "f32"],
      [gpuOf({ subgroupMatrix: false }), "f16"],
      [gpuOf({ subgroupSize: 0 }), "f16"],
      [gpuOf({ storage: 8192 }), "f16"],
    ] as const
  ) {
    assertEquals(gemmTile(gpu, { ...size, element }).kind, "registers");
    assertEquals(gemmInput(gpu, element), "f32");
  }
});

Deno.test("gemmTile() cuts small products into small tiles", () => {
  const areaOf = (rows: number, height: number, gpu: Gpu) => {
    const tile = gemmTile(gpu, { rows, height, width: 4096, element: "f32" });
    return tile.rows * tile.columns;
  };
  const gpu = gpuOf({});
  assert(areaOf(16, 4096, gpu) < areaOf(64, 4096, gpu));
  assert(areaOf(64, 4096, gpu) < areaOf(2048, 4096, gpu));
  assert(areaOf(2048, 4096, gpuOf({ software: true })) < areaOf(16, 64, gpu));
});

Deno.test("gemmTile() slices products that leave a GPU idle", () => {
  const splits = (
    rows: number,
    height: number,
    { width = 4096, normed = false } = {},
  ) =>
    gemmTile(gpuOf({}), { rows, height, width, element: "f16", normed })
      .splits ?? 1;
  assertEquals(splits(2048, 12288), 1);
  assert(splits(30, 4096, { width: 11008 }) > 1);
  // Too short for more.
  assertEquals(splits(30, 576, { width: 64 }), 1);
  // The sum takes a dispatch, unless a norm takes it anyway.
  assertEquals(splits(15, 4096), 1);
  assert(splits(15, 4096, { normed: true }) > 1);
});

Deno.test("gemmTile() takes gated products where subgroups have pairs of rows", () => {
  for (const rows of [8, 17, 61, 122, 244, 700]) {
    const size = {
      rows,
      height: 22016,
      width: 4096,
      element: "f16",
      gated: true,
    } as const;
    const tile = gemmTile(gpuOf({}), size);
    assert(tile.kind === "matrix");
    assertEquals(tileFault(tile, 32, true), undefined);
  }
});

Deno.test("gemmCandidates() fit the device, and have the default's kind", () => {
  for (const gpu of [gpuOf({}), gpuOf({ subgroupMatrix: false })]) {
    for (const rows of [8, 30, 64, 122, 244, 2048]) {
      const size = { rows, height: 4096, width: 4096, element: "f16" } as const;
      const tiles = gemmCandidates(gpu, size);
      assert(tiles.length > 2, `${rows}`);
      assert(tiles.every((tile) => fitsTile(gpu, tile)));
      const { kind } = gemmTile(gpu, size);
      assert(tiles.every((tile) => tile.kind === kind));
    }
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
    facts: { name: "", driver: "", software, subgroupSize, limits },
  } as unknown as Gpu;
}
