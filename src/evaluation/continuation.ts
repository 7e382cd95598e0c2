// Prompts continued greedily: damage that a reader sees.

import { InputError } from "../base/errors.ts";
import type { Session } from "../engine/engine.ts";

/**
 * Takes prompts from a text, evenly spread over the part that is measured.
 *
 * @param ids The text, tokenized once.
 * @param options Number of prompts, tokens of each, and tokens of the part.
 * @returns The prompts, [promptTokens] each, copies.
 * @throws {InputError} If they would overlap.
 */
export function spreadPrompts(
  ids: Int32Array,
  options: {
    readonly prompts: number;
    readonly promptTokens: number;
    readonly tokens: number;
  },
): Int32Array[] {
  const { prompts, promptTokens } = options;
  const usable = Math.min(ids.length, options.tokens);
  if (prompts * promptTokens > usable) {
    throw new InputError(
      `Cannot take prompts as prompts x promptTokens must be <= ${usable}, the tokens of the text that are measured: current value is ${prompts} x ${promptTokens}`,
    );
  }
  return Array.from({ length: prompts }, (_, i) => {
    const start = Math.floor(i * usable / prompts);
    return ids.slice(start, start + promptTokens);
  });
}

/**
 * Continues prompts, each by the most likely token of every step.
 *
 * @param session A model loaded in an engine.
 * @param prompts Of equal length.
 * @param steps Tokens to add to each.
 * @returns The tokens added, [steps] each.
 */
export async function continueGreedily(
  session: Session,
  prompts: readonly Int32Array[],
  steps: number,
): Promise<readonly Int32Array[]> {
  await session.prefill(prompts, steps);
  return (await session.decode(steps)).tokens;
}

/**
 * Tokens that two sequences have in common before the first that differs.
 *
 * @param a One sequence.
 * @param b The other.
 */
export function commonPrefix(a: Int32Array, b: Int32Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return length;
}
