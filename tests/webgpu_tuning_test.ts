// Tuning picks the fastest of the right shapes, and none that is wrong.

import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import type { Solution } from "../src/engine/webgpu/tuning/solve.ts";
import { requirement } from "./fixtures/requirements.ts";
import { vulkanDriverEnv } from "./fixtures/vulkan_drivers.ts";

Deno.test({
  name:
    "solve() refuses shapes whose numbers differ and takes the fastest other",
  ignore: requirement("deno-gpu").ignore,
  fn: async () => {
    const child = new URL("./fixtures/tuning_child.ts", import.meta.url);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "-A", fileURLToPath(child)],
      env: vulkanDriverEnv("deno"),
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    assertEquals(code, 0, decoder.decode(stderr));
    const { shape, seconds, defaultSeconds, refused, leaked }:
      & Solution
      & { leaked: number } = JSON.parse(decoder.decode(stdout));
    assertEquals(shape["faults"], undefined);
    assert(seconds < defaultSeconds, `${seconds} < ${defaultSeconds}`);
    const reasons = new Map(
      refused.map(({ shape, reason }) => [shape["faults"], reason]),
    );
    assertEquals([...reasons.keys()].sort(), [
      "device",
      "half",
      "nothing",
      "range",
    ]);
    assertEquals(reasons.get("range"), "Cannot be so");
    assertEquals(reasons.get("device"), "Cannot compile");
    for (const fault of ["half", "nothing"]) {
      assert(reasons.get(fault)?.includes("output"), reasons.get(fault));
    }
    assertEquals(leaked, 0);
  },
});
