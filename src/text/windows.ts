// Cuts token ids in windows for evaluation.

import { InputError } from "../base/errors.ts";

/**
 * Cuts ids in consecutive windows that do not overlap; a tail shorter than a
 * window is dropped, as the official evaluation does.
 *
 * @param ids `[T]`, a whole text's tokens.
 * @param windowTokens Tokens of each window.
 * @param maxTokens Uses at most this many tokens of the text.
 * @returns The windows, each `[windowTokens]`, copies.
 * @throws {InputError} If not one window fits.
 */
export function windows(
  ids: Int32Array,
  windowTokens: number,
  maxTokens: number = ids.length,
): Int32Array[] {
  // A window of one token predicts nothing.
  if (!Number.isInteger(windowTokens) || windowTokens < 2) {
    throw new InputError(
      `Cannot cut windows as windowTokens must be an integer >= 2: current value is ${windowTokens}`,
    );
  }
  const usable = Math.min(ids.length, maxTokens);
  const count = Math.floor(usable / windowTokens);
  if (!(count >= 1)) {
    throw new InputError(
      `Cannot cut windows of ${windowTokens} tokens as the text has ${ids.length}${
        maxTokens < ids.length ? ` and ${maxTokens} are to be used` : ""
      }`,
    );
  }
  return Array.from(
    { length: count },
    // slice, not subarray: a view would drag the whole text along when a
    // window is sent to an engine's process.
    (_, i) => ids.slice(i * windowTokens, (i + 1) * windowTokens),
  );
}
