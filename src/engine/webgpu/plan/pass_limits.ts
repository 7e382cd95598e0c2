// How many rows go through the layers at once.

import type { Gpu } from "../device/gpu.ts";
import type { GpuModel } from "./gpu_model.ts";
import { scratchBytesPerRow } from "./scratch.ts";

/** Enough rows that every product fills a large GPU. */
const GPU_ROWS = 8192;

/** A software adapter gains nothing from more, and its memory is the machine's. */
const SOFTWARE_ROWS = 512;

/** Memory that the activations of a pass may take. */
const SCRATCH_BYTES = 2 ** 30;

/**
 * Most rows of a pass.
 *
 * @param gpu The device.
 * @param model The model.
 * @returns At least 64.
 */
export function passRows(gpu: Gpu, model: GpuModel): number {
  const fitting = Math.floor(SCRATCH_BYTES / scratchBytesPerRow(model));
  const wanted = gpu.facts.software ? SOFTWARE_ROWS : GPU_ROWS;
  return Math.max(64, Math.min(wanted, fitting));
}
