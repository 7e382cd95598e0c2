// What decoding starts from: prompts that were run through the model, or a cache
// of seeded numbers.

import type { Session } from "../engine/engine.ts";

/**
 * Gives a session a new cache.
 *
 * @param batch Sequences.
 * @param tokens Of each.
 * @param reserve Room beyond.
 */
export type FillCache = (
  batch: number,
  tokens: number,
  reserve: number,
) => Promise<void>;

/**
 * Fills with prefills.
 *
 * @param session Whose cache.
 * @param prompt Gives so many tokens.
 */
export function prefilled(
  session: Session,
  prompt: (tokens: number) => Int32Array,
): FillCache {
  return async (batch, tokens, reserve) => {
    await session.prefill(sequencesOf(prompt(batch * tokens), batch), reserve);
  };
}

/**
 * Fills with seeded numbers.
 *
 * @param session Whose cache.
 * @param seed Of the numbers.
 * @throws {RangeError} If the engine cannot.
 */
export function seeded(session: Session, seed: number): FillCache {
  if (session.fill === undefined) {
    throw new RangeError(
      "Cannot time with cache seeded as the engine fills none: allowed with it: prefill",
    );
  }
  return async (batch, tokens, reserve) =>
    await session.fill!({ batch, tokens, reserve, seed });
}

/**
 * Cuts a prompt into sequences of equal length.
 *
 * @param prompt All tokens.
 * @param batch Sequences.
 */
export function sequencesOf(prompt: Int32Array, batch: number): Int32Array[] {
  const length = Math.floor(prompt.length / batch);
  return Array.from(
    { length: batch },
    (_, i) => prompt.subarray(i * length, (i + 1) * length),
  );
}
