// Widths of latent attention that options name, checked before anything is loaded
// or timed.

import { InputError } from "../base/errors.ts";
import { mlaShape } from "../conversion/methods/mla_shape.ts";
import type { ModelConfig } from "../model/config.ts";

/**
 * Checks that some conversion of a model has such widths.
 *
 * @param said What was found, for the error: "option --latent: found 512+64".
 * @param widths Of the latent and its rotary key.
 * @param config The model's.
 * @throws {InputError} If none has.
 */
export function checkMlaWidths(
  said: string,
  widths: { readonly kvLoraRank: number; readonly qkRopeHeadDim: number },
  config: ModelConfig,
): void {
  try {
    mlaShape.check({ ...widths }, config);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(`${said}: ${error.message}`);
  }
}
