// KL divergence and top-1 agreement of two rows of logits, in f64.

import { logSumExp } from "../../model/reference_arithmetic.ts";

/**
 * Compares two predictions.
 *
 * @param original Logits of the original, a row of V at `start`.
 * @param other Logits of the other model, the same.
 * @param start Where the row begins in both.
 * @param length V.
 * @returns KL(original || other) in nats, and whether both have the same most likely token, the first of equals.
 */
export function predictionDivergence(
  original: Float64Array,
  other: Float64Array,
  start: number,
  length: number,
): { readonly kl: number; readonly agrees: boolean } {
  const normalizer = logSumExp(original, start, length);
  const otherNormalizer = logSumExp(other, start, length);
  let kl = 0;
  let best = start;
  let otherBest = start;
  for (let i = start; i < start + length; i++) {
    const log = original[i]! - normalizer;
    const probability = Math.exp(log);
    // 0 log 0 is 0, also where both have ruled a token out.
    if (probability > 0) {
      kl += probability * (log - (other[i]! - otherNormalizer));
    }
    if (original[i]! > original[best]!) best = i;
    if (other[i]! > other[otherBest]!) otherBest = i;
  }
  return { kl, agrees: best === otherBest };
}
