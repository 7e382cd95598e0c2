// Recognizes the many ways in which running out of memory is reported.

import { gpuFault } from "./gpu_fault.ts";

/** A stated memoryBudget does not hold the cell: a result, not a failure. */
export class ForeseenOutOfMemory extends Error {
  override name = "ForeseenOutOfMemory";
}

const PATTERN =
  /out of memory|failed to allocate|allocation (?:failed|size overflow)|bad_alloc|not enough (?:memory|space)|cannot allocate memory|invalid (?:typed )?array (?:buffer )?length|OutOfDeviceMemory/i;

/**
 * Whether a message says that memory ran out.
 *
 * @param message An error's message, or the last lines of standard error.
 */
export function isOutOfMemory(message: string): boolean {
  return PATTERN.test(message);
}

/** Whether an error says that memory ran out, the device's or the system's. */
export function ranOutOfMemory(error: unknown): boolean {
  return gpuFault(error) === "out-of-memory" || isOutOfMemory(oneLine(error));
}

/** An error's name and message in one line. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error
    ? `${error.name === "Error" ? "" : `${error.name}: `}${error.message}`
    : String(error);
  return text.replaceAll(/\s*\n\s*/g, " ");
}
