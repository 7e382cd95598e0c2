// Recognizes the many ways in which running out of memory is reported.

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
