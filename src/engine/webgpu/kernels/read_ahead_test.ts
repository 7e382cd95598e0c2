import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../device/gpu.ts";
import type { GpuMatrix } from "./kernel.ts";
import {
  mergeReadsAhead,
  readAheadCandidates,
  readerParts,
} from "./read_ahead.ts";
import { useTables } from "./tuned.ts";

const BUFFER = { size: 1 << 20 } as GPUBuffer;

function matrix(parts: number): GpuMatrix {
  return {
    rows: 512 * parts,
    columns: 1024,
    stride: 1024,
    element: "f16",
    parts: Array.from({ length: parts }, (_, i) => ({
      buffer: BUFFER,
      firstRow: 512 * i,
      rows: 512,
    })),
  };
}

function gpuWith(bytes: number): Gpu {
  const gpu = { facts: { software: false } } as unknown as Gpu;
  useTables(gpu, [{
    name: "own",
    table: {
      format: 1,
      adapter: "GPU",
      driver: "",
      provider: "dawn",
      date: "",
      deno: "",
      kernels: { read_ahead: { "mla 32x512 1": { bytes } } },
    },
  }]);
  return gpu;
}

Deno.test("mergeReadsAhead() is what a table has, never more than the weight, and nothing without", () => {
  const size = { kind: "mla", heads: 32, width: 512, batch: 1 } as const;
  assertEquals(mergeReadsAhead(gpuWith(1000), size, matrix(1)), 992);
  assertEquals(mergeReadsAhead(gpuWith(1e9), size, matrix(1)), 1 << 20);
  assertEquals(mergeReadsAhead(gpuWith(1000), size, matrix(2)), 0);
  const others = [{ ...size, batch: 2 }, { ...size, width: 448 }];
  for (const other of others) {
    assertEquals(mergeReadsAhead(gpuWith(1000), other, matrix(1)), 0);
  }
});

Deno.test("readerParts() has threads for every vector in whole workgroups", () => {
  const sink = BUFFER;
  assertEquals(readerParts(undefined, 256, [32, 1]).readers, 0);
  for (const { bytes } of readAheadCandidates(BUFFER.size)) {
    const ahead = { weight: matrix(1), bytes, sink };
    const { readers, params } = readerParts(ahead, 256, [32, 1]);
    assertEquals(readers > 0, bytes > 0);
    if (readers === 0) continue;
    assertEquals(params["ahead_vectors"], { u32: bytes / 16 });
    assertEquals(params["ahead_step"], { u32: readers * 32 * 256 });
    // 8 loads at once, twice.
    assert(readers * 32 * 256 * 16 >= bytes / 16);
  }
});
