// The webgpu engine: own WGSL kernels on a GPUDevice of Deno's own WebGPU or of
// Dawn.

import { UnavailableError } from "../../base/errors.ts";
import type { Engine, EngineOptions } from "../engine.ts";

/**
 * Opens the webgpu engine.
 *
 * @param options How to run.
 * @returns The engine.
 * @throws {UnavailableError} If there is no adapter, or it lacks f16 and that is asked for.
 */
export function openWebgpuEngine(options: EngineOptions): Promise<Engine> {
  return Promise.reject(
    new UnavailableError(
      `Cannot open the webgpu engine with ${JSON.stringify(options)}`,
    ),
  );
}
