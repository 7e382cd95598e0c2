import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../device/gpu.ts";
import { decodeForm, type DecodeFormSize } from "./decode_form.ts";
import type { View } from "./kernel.ts";
import { tileDecodeShape, tileSplits } from "./tile_decode_tuning.ts";

const LATENT: DecodeFormSize = {
  kind: "mla",
  batch: 30,
  capacity: 8192,
  heads: 32,
  keyGroups: 1,
  valueGroups: 1,
  first: view(512),
  second: view(64),
  firstWidth: 512,
  secondWidth: 64,
  valueFrom: "first",
  valueWidth: 512,
};

Deno.test("decodeForm() takes tiles for many heads in latent space, and lanes without them", () => {
  const gpu = gpuWith({ subgroupMatrix: false });
  const many = decodeForm(gpu, LATENT);
  assert(many.tile !== undefined && many.matrix === undefined);
  const long = decodeForm(gpu, { ...LATENT, batch: 1, capacity: 32768 });
  assert(long.tile !== undefined && long.splits > 100);
  const short = decodeForm(gpu, { ...LATENT, batch: 1, capacity: 1024 });
  assertEquals(short.tile, undefined);
  assert(short.splits >= 32);
  const wide = { ...LATENT, firstWidth: 4096, valueWidth: 4096 };
  assertEquals(decodeForm(gpu, wide).tile, undefined);
  const gqa = decodeForm(gpu, {
    ...LATENT,
    kind: "gqa",
    keyGroups: 8,
    valueGroups: 8,
    valueFrom: "second",
  });
  assertEquals([gqa.tile, gqa.matrix], [undefined, undefined]);
});

Deno.test("decodeForm() takes subgroup matrices where the device has them", () => {
  const { matrix, tile, splits } = decodeForm(
    gpuWith({ subgroupMatrix: true }),
    LATENT,
  );
  assert(matrix !== undefined && tile === undefined);
  assertEquals(splits, matrix.splits);
});

Deno.test("tileSplits() fills a large GPU's processors in whole turns", () => {
  const tile = tileDecodeShape(32, 2, 1, true);
  for (const batch of [3, 7, 15, 30, 61]) {
    const splits = tileSplits({ batch, heads: 32, capacity: 8192 }, tile);
    const turns = batch * splits / 132;
    const filled = turns / Math.ceil(turns);
    assert(filled >= 0.85, `batch ${batch}: ${splits} splits fill ${filled}`);
  }
  // Shorter than a tile: nothing to split.
  assertEquals(tileSplits({ batch: 1, heads: 32, capacity: 16 }, tile), 1);
});

function view(stride: number): View {
  return { buffer: {} as GPUBuffer, element: "f16", offset: 0, stride };
}

/** As an H100, of which no table knows. */
function gpuWith({ subgroupMatrix }: { subgroupMatrix: boolean }): Gpu {
  return {
    facts: {
      provider: subgroupMatrix ? "dawn" : "deno",
      name: "a GPU",
      software: false,
      subgroupSize: 32,
      limits: {
        maxComputeWorkgroupStorageSize: 49152,
        maxComputeInvocationsPerWorkgroup: 1024,
      },
    },
    features: { f16: true, subgroups: true, subgroupMatrix },
  } as unknown as Gpu;
}
