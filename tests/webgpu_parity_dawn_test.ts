// The webgpu engine on Dawn against the reference engine.

import { parityTests } from "./fixtures/gpu_parity.ts";
import { requirement } from "./fixtures/requirements.ts";

parityTests("dawn", requirement("dawn-gpu").ignore);
