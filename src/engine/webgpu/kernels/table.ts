// Every kernel with the cases it is checked and timed on.

import { argmaxEntry } from "./argmax_cases.ts";
import { crossEntropyEntry } from "./cross_entropy_cases.ts";
import { gramEntry } from "./gram_cases.ts";
import type { KernelEntry } from "./kernel_case.ts";

/** The kernels. */
export const KERNELS: readonly KernelEntry[] = [
  argmaxEntry,
  crossEntropyEntry,
  gramEntry,
];
