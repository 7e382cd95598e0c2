// Decides where memory growth is measured, and what becomes of a fault in it.

import type { EngineDescription, Session } from "../engine/engine.ts";
import {
  type GrowthRequest,
  measureMemoryGrowth,
  type MemoryGrowth,
} from "../evaluation/device_memory.ts";
import { gpuFault } from "./gpu_fault.ts";

/** Measures the memory growth of the sessions of one engine process. */
export class GrowthMeter {
  #hasMeasured = false;

  /**
   * Measures it, where the engine and the process let it be measured.
   *
   * @param session The session, with nothing in its cache that is needed.
   * @param engine Its engine.
   * @param request What to measure with.
   * @param onFault Called where the session must not be used again.
   * @returns Nothing for an engine without a device of its own.
   */
  async measure(
    session: Session,
    engine: EngineDescription,
    request: Omit<GrowthRequest, "adapterKind">,
    onFault: () => Promise<void>,
  ): Promise<MemoryGrowth> {
    const { name, adapterKind = "gpu" } = engine;
    if (name !== "webgpu") return {};
    if (adapterKind === "software" && this.#hasMeasured) {
      return {
        memoryNote:
          "measured for the first variant only, as the process of a software adapter keeps what it once used",
      };
    }
    this.#hasMeasured = true;
    try {
      return await measureMemoryGrowth(session, { ...request, adapterKind });
    } catch (error) {
      const fault = gpuFault(error);
      if (fault === undefined || fault === "lost") throw error;
      // The cell's own cache was measured; only this one was larger.
      await onFault();
      return { memoryNote: (error as Error).message };
    }
  }
}
