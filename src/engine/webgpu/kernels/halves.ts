// Numbers as halves in vectors of eight.

import { readWgsl } from "./kernel.ts";

/** Declares halves(low, high), before the text of a kernel that calls it. */
export const HALVES = readWgsl("halves.wgsl", import.meta.url);
