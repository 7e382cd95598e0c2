// The registry of engines. Engines are imported when asked for: onnxruntime
// never loads for a reference run.

import type { Engine, EngineName, EngineOptions } from "./engine.ts";

const ENGINES: Readonly<
  Record<EngineName, (options: EngineOptions) => Promise<Engine>>
> = {
  reference: async (options) =>
    (await import("./reference/reference_engine.ts")).openReferenceEngine(
      options,
    ),
  onnx: async (options) =>
    (await import("./onnx/onnx_engine.ts")).openOnnxEngine(options),
  webgpu: async (options) =>
    (await import("./webgpu/webgpu_engine.ts")).openWebgpuEngine(options),
};

/** The names that openEngine() accepts. */
export const ENGINE_NAMES = Object.keys(ENGINES) as readonly EngineName[];

/**
 * Opens an engine by name.
 *
 * @param name The engine.
 * @param options How to run.
 * @returns The engine.
 * @throws {RangeError} If the options ask for what the engine or this machine lacks.
 */
export async function openEngine(
  name: EngineName,
  options: EngineOptions = {},
): Promise<Engine> {
  return await ENGINES[name](options);
}
