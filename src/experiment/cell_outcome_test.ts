import { assert, assertEquals } from "@std/assert";
import { cellOutcome } from "./cell_outcome.ts";
import { gpuFault } from "./gpu_fault.ts";
import type { PlannedCell } from "./plan.ts";
import { NotTimed, untimedReason } from "./untimed.ts";

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
  const {
    status,
    fatal,
    error: message,
    peakMemoryBytes,
    peakMemoryScope,
  } = await cellOutcome(
    {
      run: () => Promise.reject(error),
      describe: () => ({
        name: "webgpu",
        provider: "deno",
        dtype: "f32",
        version: "1",
      }),
      stageSeconds: { opening: 1 },
      calibrationRuns: 0,
    },
    CELL,
    { reset() {}, read: () => ({ bytes: 5, scope: "cell" }) },
  );
  assertEquals([peakMemoryBytes, peakMemoryScope], [5, "cell"]);
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

Deno.test("untimedReason() leaves out software adapters unless asked to time them, which is no failure", async () => {
  const engine = {
    name: "webgpu",
    dtype: "f32",
    device: "webgpu",
  } as const;
  const slow = { adapter: "llvmpipe", adapterKind: "software" } as const;
  const reason = untimedReason({ engine }, slow);
  assert(reason?.startsWith("not timed: llvmpipe is a software adapter"));
  assertEquals(
    untimedReason({ engine: { ...engine, software: true } }, slow),
    undefined,
  );
  assertEquals(
    untimedReason({ engine }, { ...slow, adapterKind: "gpu" }),
    undefined,
  );
  assertEquals(untimedReason({ engine }, {}), undefined);
  assertEquals(await outcomeOf(new NotTimed(reason)), [
    "skipped",
    undefined,
    reason,
  ]);
});
