// The webgpu engine on Deno's WebGPU against the reference engine.

import { parityTests } from "./fixtures/gpu_parity.ts";
import { requirement } from "./fixtures/requirements.ts";

parityTests("deno", requirement("deno-gpu").ignore);
