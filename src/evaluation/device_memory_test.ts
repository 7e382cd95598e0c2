import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Session } from "../engine/engine.ts";
import {
  type GrowthRequest,
  measureMemoryGrowth,
  memoryState,
  parseMemoryTable,
} from "./device_memory.ts";

const MIB = 2 ** 20;

const THEORY = {
  elementsByLayer: [10, 10],
  elementsPerTokenPerLayer: 10,
  bytesPerToken: 80,
};

/** A device that holds one cache, of `factor` times the bytes of theory, in blocks. */
function device(factor: number, block = 1) {
  const device = { used: 1000 * MIB, prefills: 0, submitted: 0 };
  const session = {
    prefill(tokens: readonly Int32Array[], reserve = 0) {
      device.prefills++;
      const rows = tokens.length * (tokens[0]!.length + reserve);
      device.submitted = 1000 * MIB +
        Math.ceil(rows * THEORY.bytesPerToken * factor / block) * block;
      return Promise.resolve();
    },
    lastLogits() {
      device.used = device.submitted;
      return Promise.resolve([]);
    },
  } as unknown as Session;
  const request = (more: Partial<GrowthRequest> = {}): GrowthRequest => ({
    theory: THEORY,
    adapterKind: "gpu",
    prompt: new Int32Array(8),
    maxTokens: 1 << 20,
    state: () => Promise.resolve({ usedBytes: device.used }),
    ...more,
  });
  return { device, session, request };
}

Deno.test("measureMemoryGrowth() grows by what theory says, and shows a cache that does not shrink", async () => {
  for (const factor of [1, 5.3]) {
    const { session, request } = device(factor);
    const growth = await measureMemoryGrowth(session, request());
    assertAlmostEquals(growth.memoryGrowthRatio!, factor, 1e-6);
    assert(growth.expectedGrowthBytes! >= 8192 * MIB);
    assertEquals(growth.memoryNote, undefined);
  }
});

Deno.test("measureMemoryGrowth() asks for so much that blocks of 512 MiB do not matter", async () => {
  const { session, request } = device(1, 512 * MIB);
  const growth = await measureMemoryGrowth(session, request());
  assertAlmostEquals(growth.memoryGrowthRatio!, 1, 0.1);
});

Deno.test("measureMemoryGrowth() leaves three quarters of what is free, and a note where that is too little", async () => {
  const { device: one, session, request } = device(1);
  const state = (freeBytes: number) => () =>
    Promise.resolve({ usedBytes: one.used, freeBytes });
  const quarter = await measureMemoryGrowth(
    session,
    request({ state: state(1025 * MIB) }),
  );
  assertAlmostEquals(quarter.expectedGrowthBytes! / MIB, 256, 1);
  const before = one.prefills;
  const none = await measureMemoryGrowth(
    session,
    request({ state: state(300 * MIB) }),
  );
  assertEquals(Object.keys(none), ["memoryNote"]);
  const unknown = await measureMemoryGrowth(
    session,
    request({ state: () => Promise.resolve(undefined) }),
  );
  assertEquals(Object.keys(unknown), ["memoryNote"]);
  assertEquals(one.prefills, before);
});

Deno.test("memoryState() of a software adapter is the process's", async () => {
  const state = await memoryState("software");
  assert(state!.usedBytes > 10 * MIB);
});

Deno.test("parseMemoryTable() adds up GPUs and refuses anything else", () => {
  assertEquals(parseMemoryTable("615, 80944\n"), {
    usedBytes: 615 * MIB,
    freeBytes: 80944 * MIB,
  });
  assertEquals(parseMemoryTable("10, 500\n20, 90\n"), {
    usedBytes: 30 * MIB,
    freeBytes: 90 * MIB,
  });
  for (const text of ["", "[N/A], 3", "1", "1, 2, 3", "1,"]) {
    assertEquals(parseMemoryTable(text), undefined, text);
  }
});
