// What came of a cell in the engine process: its metrics, or which kind of
// failure it was.

import type { CellRunner } from "./cell_runner.ts";
import { gpuFault } from "./gpu_fault.ts";
import {
  ForeseenOutOfMemory,
  oneLine,
  ranOutOfMemory,
} from "./out_of_memory.ts";
import type { PeakMemoryMeter } from "./peak_memory.ts";
import type { PlannedCell } from "./plan.ts";
import { NotTimed } from "./untimed.ts";
import type { CellOutcome } from "./worker_protocol.ts";

/**
 * Runs a cell; a failure is an outcome, too.
 *
 * @param runner Runs it.
 * @param cell Of the plan.
 * @param memory Counts the process's peak.
 */
export async function cellOutcome(
  runner: Pick<
    CellRunner,
    "run" | "describe" | "stageSeconds" | "calibrationRuns"
  >,
  cell: PlannedCell,
  memory: Pick<PeakMemoryMeter, "reset" | "read">,
): Promise<CellOutcome> {
  const started = performance.now();
  memory.reset();
  const common = () => {
    const { bytes, scope } = memory.read();
    return {
      engine: runner.describe(),
      peakMemoryBytes: bytes,
      peakMemoryScope: scope,
      wallSeconds: (performance.now() - started) / 1000,
      stageSeconds: runner.stageSeconds,
      calibrationRuns: runner.calibrationRuns,
    };
  };
  try {
    const metrics = await runner.run(cell);
    return { status: "ok", metrics, ...common() };
  } catch (error) {
    if (error instanceof ForeseenOutOfMemory) {
      return { status: "oom", error: error.message, ...common() };
    }
    if (error instanceof NotTimed) {
      return { status: "skipped", error: error.message, ...common() };
    }
    return {
      status: ranOutOfMemory(error) ? "oom" : "failed",
      error: oneLine(error),
      ...(gpuFault(error) === "lost" ? { fatal: true } : {}),
      ...(error instanceof Error && error.stack ? { stack: error.stack } : {}),
      ...common(),
    };
  }
}
