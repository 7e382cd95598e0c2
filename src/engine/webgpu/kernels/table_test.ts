import { assert, assertEquals } from "@std/assert";
import { KERNELS } from "./table.ts";

Deno.test("KERNELS has each kernel once, with cases to check and to time", () => {
  const names = KERNELS.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  for (const { name, parity, bench } of KERNELS) {
    assert(parity.length > 0, `${name} has no case to check`);
    assert(bench.length > 0, `${name} has no case to time`);
    const labels = parity.map(({ label }) => label);
    assertEquals(new Set(labels).size, labels.length, name);
  }
});
