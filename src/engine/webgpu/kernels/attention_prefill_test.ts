import { assert, assertEquals } from "@std/assert";
import type { Arena } from "../device/gpu.ts";
import { attentionPrefill, prefillTile } from "./attention_prefill.ts";
import type { View } from "./kernel.ts";

// [n, m, v]: GQA of several head dims, expanded MLA, merged keys.
const WIDTHS = [
  [64, 0, 64],
  [128, 0, 128],
  [96, 0, 96],
  [256, 0, 256],
  [64, 64, 64],
  [128, 64, 128],
  [192, 0, 64],
  [33, 5, 17],
] as const;

const KIB = 1024;

Deno.test("attentionPrefill() keeps within the workgroup memory of each device", () => {
  for (const kib of [32, 48, 64]) {
    for (const software of [false, true]) {
      for (const [nope, rotary, value] of WIDTHS) {
        const codes: string[] = [];
        record(fakeArena(kib * KIB, software, codes), nope, rotary, value);
        const bytes = workgroupBytes(codes[0]!);
        assert(
          bytes > 0 && bytes <= kib * KIB,
          `n ${nope} m ${rotary} v ${value}: ${bytes} bytes of ${kib} KiB`,
        );
      }
    }
  }
});

Deno.test("prefillTile() has a thread for the softmax of each row", () => {
  for (const kib of [32, 48]) {
    const { gpu } = fakeArena(kib * KIB, false, []);
    for (const [nope, rotary, value] of WIDTHS) {
      const tile = prefillTile(gpu, nope + rotary, value);
      assertEquals(tile.rows % tile.rowsPerThread, 0);
      assert(tile.across >= tile.rowsPerThread);
    }
  }
});

/** An arena whose device compiles nothing and keeps the WGSL. */
function fakeArena(memory: number, software: boolean, codes: string[]): Arena {
  return {
    gpu: {
      facts: {
        software,
        provider: "deno",
        limits: {
          maxComputeWorkgroupStorageSize: memory,
          maxComputeWorkgroupsPerDimension: 65535,
        },
      },
      device: { createBindGroup: () => ({}) },
      pipeline(_label: string, code: string) {
        codes.push(code);
        return { getBindGroupLayout: () => ({}) };
      },
    },
    uniform: () => ({}),
  } as unknown as Arena;
}

function record(arena: Arena, nope: number, rotary: number, value: number) {
  const buffer = {} as GPUBuffer;
  const view = (stride: number): View => ({
    buffer,
    element: "f32",
    offset: 0,
    stride,
  });
  attentionPrefill(arena, {
    query: view(nope + rotary),
    queryNope: 0,
    queryRotary: nope,
    heads: 1,
    groups: 1,
    nope,
    rotary,
    scale: 1,
    key: view(nope),
    keyGroupStride: nope,
    ...(rotary > 0 ? { rotaryKey: view(rotary) } : {}),
    capacity: 1,
    value,
    values: view(value),
    valueGroupStride: value,
    tiles: buffer,
    tileCount: 1,
    tileRows: 64,
    out: view(value),
  });
}

/** Bytes of all workgroup arrays of a shader. */
function workgroupBytes(code: string): number {
  const arrays = code.matchAll(
    /var<workgroup> \w+: array<(vec4<f32>|f32), (\d+)>/g,
  );
  return [...arrays].reduce(
    (sum, [, type, length]) => sum + Number(length) * (type === "f32" ? 4 : 16),
    0,
  );
}
