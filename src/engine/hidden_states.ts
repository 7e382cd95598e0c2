// What every session asks of hidden states that it is given.

/**
 * Checks the hidden states of another model.
 *
 * @param tokens Sequences of equal length T.
 * @param states [T, D] of each.
 * @param width D.
 * @throws {RangeError} If their number or lengths are others.
 */
export function checkHiddenStates(
  tokens: readonly Int32Array[],
  states: readonly Float32Array[],
  width: number,
): void {
  if (states.length !== tokens.length) {
    throw new RangeError(
      `Cannot compare predictions as there must be hidden states for each of ${tokens.length} sequences: current value is ${states.length}`,
    );
  }
  for (const [b, { length }] of states.entries()) {
    const wanted = tokens[b]!.length * width;
    if (length === wanted) continue;
    throw new RangeError(
      `Cannot compare predictions as hidden states of sequence ${b} must have ${
        tokens[b]!.length
      } x ${width} = ${wanted} numbers: current value is ${length}`,
    );
  }
}
