// The webgpu engine with halves against the reference engine, on both providers.

import { f16ParityTests } from "./fixtures/gpu_parity.ts";
import { requirement } from "./fixtures/requirements.ts";

for (const provider of ["deno", "dawn"] as const) {
  f16ParityTests(provider, requirement(`${provider}-gpu`).ignore);
}
