import { assert, assertEquals } from "@std/assert";
import { PeakMemoryMeter } from "./peak_memory.ts";

const MEBIBYTE = 2 ** 20;

Deno.test("PeakMemoryMeter forgets on reset() what was before, where the system lets it", () => {
  const meter = new PeakMemoryMeter();
  try {
    assertEquals(meter.read().scope, "process");
    meter.reset();
    const before = meter.read();
    if (Deno.build.os !== "linux") {
      assertEquals(before.scope, "process");
      return;
    }
    assertEquals(before.scope, "cell");
    const large = new ArrayBuffer(200 * MEBIBYTE);
    // Every page is written, and so is really there.
    new Uint8Array(large).fill(1);
    const high = meter.read().bytes;
    assert(
      high > before.bytes + 190 * MEBIBYTE,
      `${high} after ${before.bytes}`,
    );
    // What is moved to a buffer of nothing is given back at once.
    large.transfer(0);
    // The kernel counts pages by processor, and adds up now and then.
    const still = meter.read().bytes;
    assert(still > high - 10 * MEBIBYTE, `${still} after ${high}`);
    meter.reset();
    const { bytes } = meter.read();
    assert(bytes < high - 150 * MEBIBYTE, `${bytes} after ${high}`);
  } finally {
    meter.close();
  }
});
