// What every session asks of the tokens it is given.

/**
 * Checks sequences of any lengths.
 *
 * @param tokens B sequences.
 * @param vocabSize V; ids are 0 to V-1.
 * @param action What the caller does with them, for its error.
 * @returns Tokens of the longest.
 * @throws {RangeError} If there is no sequence, one is empty or an id is out of range.
 */
export function longestLength(
  tokens: readonly Int32Array[],
  vocabSize: number,
  action: string,
): number {
  let longest = 0;
  for (const sequence of tokens) {
    if (sequence.length === 0) {
      longest = 0;
      break;
    }
    const wrong = sequence.find((id) => id < 0 || id >= vocabSize);
    if (wrong !== undefined) {
      throw new RangeError(
        `Cannot ${action} tokens as ids must be in 0..${
          vocabSize - 1
        }: current value is ${wrong}`,
      );
    }
    longest = Math.max(longest, sequence.length);
  }
  if (longest === 0) {
    throw new RangeError(
      `Cannot ${action} tokens as there must be at least one`,
    );
  }
  return longest;
}

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
  for (const [b, sequence] of tokens.entries()) {
    if (sequence.length !== length) {
      throw new RangeError(
        `Cannot ${action} tokens as sequence ${b} must have ${length} tokens as the first has: current value is ${sequence.length}`,
      );
    }
  }
  return longestLength(tokens, vocabSize, action);
}
