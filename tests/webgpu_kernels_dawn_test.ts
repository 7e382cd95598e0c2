// Every kernel against its f64 answer on Dawn.

import { kernelTests } from "./fixtures/kernel_parity.ts";
import { requirement } from "./fixtures/requirements.ts";

kernelTests("dawn", requirement("dawn-gpu").ignore);
