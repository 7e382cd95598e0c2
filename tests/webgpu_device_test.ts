// Devices of both WebGPU providers, each in a process of its own.

import { assertEquals, assertMatch } from "@std/assert";
import { isDawnInstalled } from "../src/engine/webgpu/device/dawn_provider.ts";
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

// No driver of Vulkan, and none of OpenGL either, which Deno would take.
const WITHOUT_DRIVERS = {
  VK_DRIVER_FILES: "/nonexistent",
  VK_ICD_FILENAMES: "/nonexistent",
  __EGL_VENDOR_LIBRARY_FILENAMES: "/nonexistent",
};

for (
  const [provider, message] of [
    [
      "deno",
      /^Cannot open a GPU as Deno's own WebGPU finds no adapter: install ./,
    ],
    [
      "dawn",
      /^Cannot open a GPU as Dawn \(npm:webgpu\) finds no adapter: install ./,
    ],
  ] as const
) {
  Deno.test({
    name: `openGpu(${provider}) says what to install where no adapter answers`,
    ignore: Deno.build.os !== "linux" ||
      (provider === "dawn" && !isDawnInstalled()),
    async fn() {
      const openGpu = new URL(
        "../src/engine/webgpu/device/open_gpu.ts",
        import.meta.url,
      );
      const { code, stdout } = await new Deno.Command(Deno.execPath(), {
        args: [
          "eval",
          "--no-check",
          `const { openGpu } = await import("${openGpu}");
           try {
             await openGpu({ provider: "${provider}" });
           } catch (error) {
             console.log(error.name);
             console.log(error.message);
             Deno.exit(7);
           }`,
        ],
        env: WITHOUT_DRIVERS,
        stderr: "null",
      }).output();
      assertEquals(code, 7);
      const [name, ...lines] = new TextDecoder().decode(stdout).trim()
        .split("\n");
      assertEquals([name, lines.length], ["UnavailableError", 1]);
      assertMatch(lines[0]!, message);
    },
  });
}
