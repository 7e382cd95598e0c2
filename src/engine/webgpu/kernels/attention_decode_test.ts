import { assertEquals } from "@std/assert";
import type { Arena } from "../device/gpu.ts";
import { attentionDecode } from "./attention_decode.ts";
import type { Element, View } from "./kernel.ts";

const LANES = "attention_decode_lanes";
const PLAIN = "attention_decode";

interface Widths {
  readonly heads: number;
  readonly groups: number;
  readonly first: number;
  readonly second?: number;
  readonly element?: Element;
}

Deno.test("attentionDecode() stays in registers at the widths of real models", () => {
  const real: readonly Widths[] = [
    { heads: 32, groups: 32, first: 128 },
    { heads: 32, groups: 8, first: 128 },
    { heads: 9, groups: 3, first: 64 },
    { heads: 32, groups: 1, first: 512, second: 64 },
    { heads: 28, groups: 1, first: 448, second: 64 },
    { heads: 9, groups: 1, first: 88, second: 64 },
    // The widest of the paper's latents.
    { heads: 32, groups: 1, first: 2496, second: 64 },
  ];
  for (const widths of real) {
    for (const element of ["f16", "f32"] as const) {
      assertEquals(formOf({ ...widths, element }, 32), LANES);
    }
  }
});

Deno.test("attentionDecode() does without subgroups where they or the widths do not allow it", () => {
  const gqa: Widths = { heads: 9, groups: 3, first: 64 };
  assertEquals(formOf(gqa, 0), PLAIN);
  assertEquals(formOf({ ...gqa, first: 66 }, 32), PLAIN);
  const mla: Widths = { heads: 9, groups: 1, first: 88, second: 64 };
  assertEquals(formOf({ ...mla, second: 63 }, 32), PLAIN);
  // More columns a lane than it has registers.
  assertEquals(formOf({ ...mla, first: 4096 }, 32), PLAIN);
});

/** Label of the dispatch on a device with such subgroups; 0: of no one size. */
function formOf(widths: Widths, subgroupSize: number): string {
  const { heads, groups, first, second = 0, element = "f32" } = widths;
  const arena = {
    gpu: {
      facts: {
        provider: "deno",
        software: false,
        subgroupSize,
        limits: { maxComputeWorkgroupsPerDimension: 65535 },
      },
      features: { subgroups: true },
      device: { createBindGroup: () => ({}) },
      pipeline: () => ({ getBindGroupLayout: () => ({}) }),
    },
    uniform: () => ({}),
  } as unknown as Arena;
  const buffer = {} as GPUBuffer;
  const view = (stride: number, element: Element): View => ({
    buffer,
    element,
    offset: 0,
    stride,
  });
  const isMla = second > 0;
  const [dispatch] = attentionDecode(arena, {
    query: view(heads * (first + second), "f32"),
    heads,
    keyGroups: groups,
    valueGroups: groups,
    first: view(groups * first, element),
    second: view(isMla ? second : groups * first, element),
    firstWidth: first,
    secondWidth: second,
    keyGroupStride: isMla ? 0 : first,
    valueFrom: isMla ? "first" : "second",
    valueWidth: first,
    valueGroupStride: isMla ? 0 : first,
    capacity: 1,
    lengths: buffer,
    batch: 1,
    splits: 1,
    scale: 1,
    partial: buffer,
    stats: buffer,
  });
  return dispatch!.label;
}
