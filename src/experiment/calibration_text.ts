// Calibration sequences of an experiment: sampled from its text, or random ids
// for a synthetic model.

import type { CalibrationOptions } from "../calibration/options.ts";
import { sampleCalibration, sampleHeldOut } from "../calibration/sampler.ts";
import type { Engine } from "../engine/engine.ts";
import { batchTokensOf, perplexity } from "../evaluation/perplexity.ts";
import type { DecoderModel } from "../model/decoder.ts";
import type { TextSource } from "../text/text_source.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { randomTokens } from "./inputs.ts";

/** Held-out windows that choices such as freqFold: auto are made on. */
const HELD_OUT_WINDOWS = 32;

/**
 * The sequences that moments are collected on.
 *
 * @param options How to sample.
 * @param text The calibration text; absent: random ids.
 * @param tokenizer Of the model; absent for a synthetic one.
 * @param vocabSize Of the model.
 */
export function sampledSequences(
  options: CalibrationOptions,
  text: TextSource | undefined,
  tokenizer: Tokenizer | undefined,
  vocabSize: number,
): Int32Array[] {
  return text === undefined || tokenizer === undefined
    ? randomSequences(options.samples, options.tokens, vocabSize, options.seed)
    : sampleCalibration(text, tokenizer, options);
}

/**
 * Windows of the calibration text that no moment has seen.
 *
 * @param options Those of the calibration.
 * @param text The calibration text; absent: random ids.
 * @param tokenizer Of the model; absent for a synthetic one.
 * @param vocabSize Of the model.
 */
export function collectHeldOut(
  options: CalibrationOptions,
  text: TextSource | undefined,
  tokenizer: Tokenizer | undefined,
  vocabSize: number,
): Int32Array[] {
  return text === undefined || tokenizer === undefined
    ? randomSequences(
      HELD_OUT_WINDOWS,
      options.tokens,
      vocabSize,
      options.seed + 1,
    )
    : sampleHeldOut(text, tokenizer, options, {
      windows: HELD_OUT_WINDOWS,
      windowTokens: options.tokens,
    });
}

/**
 * Mean next-token NLL of a model over held-out windows.
 *
 * @param engine Opens the model, and closes its session again.
 * @param model The candidate.
 * @param windows From collectHeldOut(), of equal length.
 * @param progress Windows done of all.
 */
export async function scoreHeldOut(
  engine: Engine,
  model: DecoderModel,
  windows: readonly Int32Array[],
  progress: (done: number, total: number) => void,
): Promise<number> {
  const session = await engine.open(model);
  try {
    const windowTokens = windows[0]!.length;
    const ids = new Int32Array(windows.length * windowTokens);
    windows.forEach((window, i) => ids.set(window, i * windowTokens));
    const scores = await perplexity(session, ids, {
      windowTokens,
      tokens: "all",
      batchTokens: batchTokensOf(engine.describe().name),
      progress,
    });
    return scores.meanNll;
  } finally {
    await session.close();
  }
}

function randomSequences(
  count: number,
  length: number,
  vocabSize: number,
  seed: number,
): Int32Array[] {
  const ids = randomTokens(count * length, vocabSize, seed);
  return Array.from(
    { length: count },
    (_, i) => ids.slice(i * length, (i + 1) * length),
  );
}
