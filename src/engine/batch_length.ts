// What every session asks of the tokens it is given.

/**
 * Checks a batch of sequences of equal length.
 *
 * @param tokens B sequences.
 * @param vocabSize V; ids are 0 to V-1.
 * @param action What the caller does with them, for its error.
 * @returns T
 * @throws {RangeError} If there is no token, a length differs or an id is out of range.
 */
export function batchLength(
  tokens: readonly Int32Array[],
  vocabSize: number,
  action: string,
): number {
  const length = tokens[0]?.length ?? 0;
  if (length === 0) {
    throw new RangeError(
      `Cannot ${action} tokens as there must be at least one`,
    );
  }
  for (const [b, sequence] of tokens.entries()) {
    if (sequence.length !== length) {
      throw new RangeError(
        `Cannot ${action} tokens as sequence ${b} must have ${length} tokens as the first has: current value is ${sequence.length}`,
      );
    }
    const wrong = sequence.find((id) => id < 0 || id >= vocabSize);
    if (wrong !== undefined) {
      throw new RangeError(
        `Cannot ${action} tokens as ids must be in 0..${
          vocabSize - 1
        }: current value is ${wrong}`,
      );
    }
  }
  return length;
}
