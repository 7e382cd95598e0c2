// Devices of both WebGPU providers, each in a process of its own.

import { checksAsSteps, childChecks } from "./fixtures/child_checks.ts";
import type { DeviceFaultRequest } from "./fixtures/device_fault_child.ts";
import { requirement } from "./fixtures/requirements.ts";

const FAULTS = [
  ["faults", "says of each fault what it was"],
  ["growth", "takes no more memory after many arenas and devices"],
  ["exhaustion", "says that memory ran out, and goes on"],
] as const;

for (const provider of ["deno", "dawn"] as const) {
  const { ignore } = requirement(`${provider}-gpu`);

  Deno.test({
    name: `openGpu(${provider}) computes, copies, reads and measures`,
    ignore,
    async fn(context) {
      await checksAsSteps(
        context,
        childChecks("device_child.ts", provider, { provider }),
      );
    },
  });

  for (const [part, name] of FAULTS) {
    Deno.test({
      name: `openGpu(${provider}) ${name}`,
      // The process's memory is limited by tools that Linux has.
      ignore: ignore ||
        (part === "exhaustion" && Deno.build.os !== "linux"),
      async fn(context) {
        const request: DeviceFaultRequest = { provider, part };
        const permissions = part === "exhaustion" ? ["--allow-run=sh"] : [];
        await checksAsSteps(
          context,
          childChecks("device_fault_child.ts", provider, request, permissions),
        );
      },
    });
  }
}
