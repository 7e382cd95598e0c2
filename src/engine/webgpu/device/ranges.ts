// Accesses to a buffer that would end outside of it, refused before the device
// sees them.

/**
 * Checks a part of a buffer.
 *
 * @param action What is done, for the message: "read", "write to".
 * @param buffer The buffer.
 * @param byteOffset Where the part starts.
 * @param bytes How long it is.
 * @param multiple What both must be multiples of: 4 where the device itself demands it.
 * @throws {RangeError} If they are not, or the part ends past the buffer's end.
 */
export function checkRange(
  action: string,
  buffer: GPUBuffer,
  byteOffset: number,
  bytes: number,
  multiple: 1 | 4,
): void {
  const place = `Cannot ${action} buffer ${buffer.label || "without a label"}`;
  for (
    const [name, value] of [["offset", byteOffset], ["size", bytes]] as const
  ) {
    if (Number.isSafeInteger(value) && value >= 0 && value % multiple === 0) {
      continue;
    }
    throw new RangeError(
      `${place} as the ${name} must be a whole number of bytes${
        multiple === 1 ? "" : `, a multiple of ${multiple}`
      }: current value is ${value}`,
    );
  }
  if (byteOffset + bytes > buffer.size) {
    throw new RangeError(
      `${place} as bytes ${byteOffset} to ${
        byteOffset + bytes
      } must lie within its ${buffer.size} bytes`,
    );
  }
}
