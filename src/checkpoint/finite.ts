// A weight that is NaN or infinite spoils every number after it: refused when read.

import { CheckpointError } from "../base/errors.ts";

/**
 * Checks that all weights are finite.
 *
 * @param data The weights.
 * @param what Where they come from, for the message.
 * @throws {CheckpointError} If one is NaN or infinite, naming the first.
 */
export function assertFinite(data: Float32Array, what: string): void {
  // 0 times a finite number is 0; times NaN or infinity it is NaN.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * 0;
  if (sum === 0) return;
  const index = data.findIndex((value) => !Number.isFinite(value));
  throw new CheckpointError(
    `Cannot read ${what} as all weights must be finite: element ${index} is ${
      data[index]
    }`,
  );
}
