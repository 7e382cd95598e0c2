import { assertEquals } from "@std/assert";
import type { Dispatch } from "../device/gpu.ts";
import { byKernel, kernelName } from "./step_profile.ts";

Deno.test("kernelName() leaves out what changes with the batch", () => {
  assertEquals(
    kernelName("gemv 1 x 12288x4096 f16"),
    "gemv 12288x4096 f16",
  );
  assertEquals(
    kernelName("gemm 244 x 4096x11008 f16"),
    "gemm 4096x11008 f16",
  );
  assertEquals(kernelName("gemv qkvProj 1 x 12288x4096 f16"), "gemv qkvProj");
  assertEquals(kernelName("rmsNorm 30x4096"), "rmsNorm");
  assertEquals(kernelName("rmsNorm input 30x4096"), "rmsNorm input");
  assertEquals(kernelName("argmax [1, 32000], chunks of 512"), "argmax");
  assertEquals(kernelName("attention_merge"), "attention_merge");
});

Deno.test("byKernel() sums a kernel's dispatches and keeps their order", () => {
  const dispatch = (label: string, bytes: number) =>
    ({ label, bytes, flops: 2 * bytes }) as Dispatch;
  assertEquals(
    byKernel(
      [dispatch("b 1x2", 1), dispatch("a", 10), dispatch("b 3x4", 100)],
      Float64Array.of(0.25, 0.5, 1),
    ),
    [
      { name: "b", dispatches: 2, seconds: 1.25, bytes: 101, flops: 202 },
      { name: "a", dispatches: 1, seconds: 0.5, bytes: 10, flops: 20 },
    ],
  );
});
