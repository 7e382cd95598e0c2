// Draws calibration sequences as the official code does (`prepare_dataloader`
// in transmla/utils.py): seeded starts among the rows that are left, successive
// rows joined until a sequence is full, their rows used up. Held-out windows are
// the same sampler going on, so they share no row with the calibration.

import { InputError } from "../base/errors.ts";
import type { TextSource } from "../text/text_source.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { Mt19937 } from "./mt19937.ts";
import type { CalibrationOptions } from "./options.ts";

/** What decides which sequences are drawn. */
export type SamplingOptions = Pick<
  CalibrationOptions,
  "samples" | "tokens" | "seed"
>;

/** How many held-out windows are drawn, and how long they are. */
export interface HeldOutOptions {
  readonly windows: number;
  readonly windowTokens: number;
}

/**
 * Draws the calibration sequences. A sequence is full when its rows, encoded
 * one by one, make `tokens` ids; encoded again as a whole it can come out a
 * little shorter, as in the official code (which pads it and masks the padding).
 *
 * @param text The text to draw from.
 * @param tokenizer The model's tokenizer.
 * @param options Number, length and seed.
 * @returns `samples` sequences of at most `tokens` ids, in the order drawn.
 * @throws {InputError} If the text is too short, naming what was found.
 */
export function sampleCalibration(
  text: TextSource,
  tokenizer: Tokenizer,
  options: SamplingOptions,
): Int32Array[] {
  const sampler = new RowSampler(text, tokenizer, options.seed);
  return sampler.draw(options.samples, options.tokens, "calibration sequences");
}

/**
 * Draws windows from rows that `sampleCalibration` with the same options does
 * not use, to choose options (freqFold) on text that no statistic has seen.
 *
 * @param text The calibration text.
 * @param tokenizer The model's tokenizer.
 * @param options Those of the calibration whose rows are avoided.
 * @param heldOut Number and length of the windows.
 * @returns `windows` windows of exactly `windowTokens` ids, in the order drawn.
 * @throws {InputError} If the text is too short for both, naming what was found.
 */
export function sampleHeldOut(
  text: TextSource,
  tokenizer: Tokenizer,
  options: SamplingOptions,
  heldOut: HeldOutOptions,
): Int32Array[] {
  const sampler = new RowSampler(text, tokenizer, options.seed);
  sampler.draw(options.samples, options.tokens, "calibration sequences");
  return sampler.draw(
    heldOut.windows,
    heldOut.windowTokens,
    "held-out windows",
    true,
  );
}

/** Draws token sequences from a text, each row used at most once. */
class RowSampler {
  readonly #name: string;
  readonly #tokenizer: Tokenizer;
  readonly #random: Mt19937;
  readonly #separator: Int32Array;
  /** Rows not yet used, in the text's order. */
  readonly #rows: string[];

  constructor(text: TextSource, tokenizer: Tokenizer, seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
      throw new InputError(
        `Cannot sample ${text.name} as seed must be an integer in [0, 4294967295]: current value is ${seed}`,
      );
    }
    this.#name = text.name;
    this.#tokenizer = tokenizer;
    this.#random = new Mt19937(seed);
    this.#separator = tokenizer.encode("\n\n");
    this.#rows = text.rows.filter((row) => row.trim() !== "");
  }

  /**
   * Draws `count` sequences of `tokens` ids; `what` names them in errors. Not
   * `exact`, they are as the official code has them: shorter where encoding the
   * joined rows merges tokens across their seams.
   */
  draw(
    count: number,
    tokens: number,
    what: string,
    exact = false,
  ): Int32Array[] {
    // One token has no successor to predict.
    if (!(Number.isInteger(count) && count >= 1)) {
      throw this.#refusal(what, `their number must be >= 1`, count);
    }
    if (!(Number.isInteger(tokens) && tokens >= 2)) {
      throw this.#refusal(what, `their tokens must be >= 2`, tokens);
    }
    const drawn: Int32Array[] = [];
    while (drawn.length < count) {
      if (this.#rows.length === 0) {
        throw this.#refusal(
          what,
          `the text must hold ${count} of ${tokens} tokens each, drawn at random without reusing a row`,
          drawn.length,
        );
      }
      const ids = this.#drawOne(tokens, exact);
      if (ids !== undefined) drawn.push(ids);
    }
    return drawn;
  }

  /** Uses up rows from a random one on; undefined if the text ends first. */
  #drawOne(tokens: number, exact: boolean): Int32Array | undefined {
    const rows = this.#rows;
    const start = this.#random.nextUint32() % rows.length;
    const ids: number[] = [];
    let end = start;
    let joined: Int32Array | undefined;
    while (joined === undefined && end < rows.length) {
      if (end > start) ids.push(...this.#separator);
      // A loop, not a spread: a row of a file may be longer than a call's arguments.
      for (const id of this.#tokenizer.encode(rows[end]!)) ids.push(id);
      end++;
      if (ids.length < tokens) continue;
      joined = this.#tokenizer.encode(this.#tokenizer.decode(ids));
      if (exact && joined.length < tokens) joined = undefined;
    }
    rows.splice(start, end - start);
    return joined?.slice(0, tokens);
  }

  #refusal(what: string, reason: string, found: number): InputError {
    return new InputError(
      `Cannot sample ${what} from ${this.#name} as ${reason}: current value is ${found}`,
    );
  }
}
