// Every kernel against its f64 answer on Deno's WebGPU.

import { kernelTests } from "./fixtures/kernel_parity.ts";
import { requirement } from "./fixtures/requirements.ts";

kernelTests("deno", requirement("deno-gpu").ignore);
