// What every session asks of the weights it is given for tokens.

/**
 * Checks weights of tokens.
 *
 * @param tokens The sequences.
 * @param weights One weight a token, one array a sequence.
 * @throws {RangeError} If their lengths are not the sequences', or a weight is negative or not finite.
 */
export function checkTokenWeights(
  tokens: readonly Int32Array[],
  weights: readonly Float32Array[],
): void {
  if (weights.length !== tokens.length) {
    throw new RangeError(
      `Cannot weigh tokens as there must be one array of weights for each of ${tokens.length} sequences: current value is ${weights.length}`,
    );
  }
  for (const [b, sequence] of tokens.entries()) {
    const own = weights[b]!;
    if (own.length !== sequence.length) {
      throw new RangeError(
        `Cannot weigh tokens as sequence ${b} must have ${sequence.length} weights: current value is ${own.length}`,
      );
    }
    const wrong = own.find((weight) => !(weight >= 0 && weight < Infinity));
    if (wrong !== undefined) {
      throw new RangeError(
        `Cannot weigh tokens as weights must be finite and >= 0: current value is ${wrong}`,
      );
    }
  }
}
