// The reference engine: the plain forward pass of src/model behind the engine
// interface. Slow and exact (f64), it is what other engines are compared with.

import type { DecoderModel } from "../../model/decoder.ts";
import { readWeights } from "../../model/reference_forward.ts";
import type { Engine, EngineOptions } from "../engine.ts";
import { ReferenceSession } from "./reference_session.ts";

/**
 * Opens the reference engine. It computes and caches in f64 on one thread,
 * whatever number of threads is allowed.
 *
 * @param options How to run.
 * @returns The engine.
 * @throws {RangeError} If the options ask for f16 or a GPU.
 */
export function openReferenceEngine(options: EngineOptions): Promise<Engine> {
  const { dtype = "f32", device = "cpu" } = options;
  if (dtype !== "f32") {
    return refuse(
      `Cannot open the reference engine as dtype must be "f32" (weights are f32, arithmetic is f64): current value is "${dtype}"`,
    );
  }
  if (device !== "cpu") {
    return refuse(
      `Cannot open the reference engine as device must be "cpu": current value is "${device}"`,
    );
  }
  return Promise.resolve({
    describe: () => ({
      name: "reference",
      provider: "cpu",
      dtype: "f64",
      version: `v8 ${Deno.version.v8}`,
    }),
    async open(model: DecoderModel) {
      return new ReferenceSession(await readWeights(model));
    },
    close: () => Promise.resolve(),
  });
}

function refuse(message: string): Promise<never> {
  return Promise.reject(new RangeError(message));
}
