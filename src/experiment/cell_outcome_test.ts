import { assertEquals } from "@std/assert";
import { cellOutcome } from "./cell_outcome.ts";
import { gpuFault } from "./gpu_fault.ts";
import type { PlannedCell } from "./plan.ts";

/** As the webgpu engine throws it; not imported, as the suite's parent has no GPU code. */
class GpuError extends Error {
  override name = "GpuError";
  readonly kind: string;

  constructor(kind: string, message: string) {
    super(message);
    this.kind = kind;
  }
}

const CELL: PlannedCell = {
  cell: "0".repeat(16),
  variant: { method: "original" },
  variantLabel: "original",
  measure: "cache",
  contextTokens: 32,
};

async function outcomeOf(error: unknown) {
  const { status, fatal, error: message } = await cellOutcome({
    run: () => Promise.reject(error),
    describe: () => ({
      name: "webgpu",
      provider: "deno",
      dtype: "f32",
      version: "1",
    }),
    stageSeconds: { opening: 1 },
    calibrationRuns: 0,
  }, CELL);
  return [status, fatal, message];
}

Deno.test("gpuFault() finds the fault behind other errors, and none where there is none", () => {
  const lost = new GpuError("lost", "gone");
  assertEquals(gpuFault(lost), "lost");
  const wrapped = new Error("cell", {
    cause: new RangeError("x", { cause: lost }),
  });
  assertEquals(gpuFault(wrapped), "lost");
  assertEquals(gpuFault(new Error("GpuError: lost")), undefined);
  assertEquals(gpuFault("lost"), undefined);
  const circle = new Error("a");
  circle.cause = circle;
  assertEquals(gpuFault(circle), undefined);
});

Deno.test("cellOutcome() ends the engine for a lost device alone, and knows the GPU's out of memory", async () => {
  assertEquals(await outcomeOf(new GpuError("lost", "device\n lost")), [
    "failed",
    true,
    "GpuError: device lost",
  ]);
  assertEquals(await outcomeOf(new GpuError("out-of-memory", "too large")), [
    "oom",
    undefined,
    "GpuError: too large",
  ]);
  for (const kind of ["shader", "validation"]) {
    assertEquals(await outcomeOf(new GpuError(kind, "line 3")), [
      "failed",
      undefined,
      "GpuError: line 3",
    ]);
  }
  assertEquals(await outcomeOf(new RangeError("a bad context")), [
    "failed",
    undefined,
    "RangeError: a bad context",
  ]);
});
