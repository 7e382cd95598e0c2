// Every kernel against its f64 answer, with poisoned outputs, on both providers'
// CPU drivers.

import { assert, assertEquals } from "@std/assert";
import type { GpuProvider } from "../src/engine/webgpu/device/gpu.ts";
import { KERNELS } from "../src/engine/webgpu/kernels/table.ts";
import { childChecks } from "./fixtures/child_checks.ts";
import {
  type KernelParityRequest,
  OPEN_CHECK,
} from "./fixtures/kernel_parity_child.ts";
import { requirement } from "./fixtures/requirements.ts";

for (const provider of ["deno", "dawn"] as const) {
  const { ignore } = requirement(`${provider}-gpu`);
  for (const { name } of KERNELS) {
    Deno.test({
      name: `${name} agrees with its f64 answer on ${provider}`,
      ignore,
      fn: (context) => checkKernel(context, provider, name),
    });
  }
}

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

async function checkKernel(
  context: Deno.TestContext,
  provider: GpuProvider,
  kernel: string,
): Promise<void> {
  const request: KernelParityRequest = { provider, kernels: [kernel] };
  const lacking: string[] = [];
  let ran = 0;
  const checks = childChecks("kernel_parity_child.ts", provider, request);
  for await (const { check, error, unavailable } of checks) {
    if (check !== OPEN_CHECK) {
      if (unavailable !== undefined) {
        lacking.push(`  ${check} (needs ${unavailable})`);
        continue;
      }
      ran++;
    }
    await context.step(check, () => {
      if (error !== undefined) throw new Error(error);
    });
  }
  if (lacking.length > 0) {
    console.log(
      `Not run on ${provider}, whose adapter lacks what they need:\n${
        lacking.join("\n")
      }`,
    );
  }
  // No CPU driver has subgroup matrices; all else must have been checked.
  const { parity } = KERNELS.find(({ name }) => name === kernel)!;
  const onlyMatrices = parity.every(({ needs }) =>
    needs?.includes("subgroupMatrix")
  );
  assert(onlyMatrices || ran > 0, `no case of ${kernel} ran on ${provider}`);
}
