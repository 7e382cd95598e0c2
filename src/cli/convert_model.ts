// Calibrates and converts in one call: what `deno task convert` and the public
// API share. Experiments plan the same steps cell by cell instead.

import {
  getMoments,
  type MomentsSupply,
} from "../calibration/moments_cache.ts";
import type { CalibrationOptions } from "../calibration/options.ts";
import { methodByName } from "../conversion/methods/mod.ts";
import type { Conversion, ConversionContext } from "../conversion/method.ts";
import type { Engine } from "../engine/engine.ts";
import {
  collectHeldOut,
  sampledSequences,
  scoreHeldOut,
} from "../experiment/calibration_text.ts";
import type { DecoderModel } from "../model/decoder.ts";
import type { ModelMoments } from "../model/moments.ts";
import type { TextSource } from "../text/text_source.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { parseMethodOptions } from "./method_options.ts";

/** A method by name with its options; those left out have the method's defaults. */
export interface ConversionRequest {
  /** One of METHODS: "transmla". */
  readonly method: string;
  readonly [option: string]: unknown;
}

/** What a conversion is calibrated with. */
export interface ConversionInputs
  extends Partial<Omit<CalibrationOptions, "text">> {
  /** Runs the calibration text through the model. */
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  /** Calibration text; never the text that the result is tested on. */
  readonly text: TextSource;
  /** Keeps moments there between runs. @default none: in memory */
  readonly cacheFolder?: string;
  /** Progress: done of all. */
  progress?(stage: string, done: number, total: number): void;
}

/** The official code's calibration, in the paper's protocol. */
export const CALIBRATION_DEFAULTS = {
  samples: 128,
  tokens: 256,
  seed: 42,
  passes: 2,
} as const;

/**
 * Converts a model, calibrating it first.
 *
 * @param model The original.
 * @param request Method and options.
 * @param inputs Engine, tokenizer and text to calibrate with.
 * @returns The converted model, its resolved options and a report of each layer.
 * @throws {InputError} If the method or an option is unknown, or the text is too short.
 * @throws {RangeError} If the model cannot be converted with these options.
 */
export async function convertModel(
  model: DecoderModel,
  request: ConversionRequest,
  inputs: ConversionInputs,
): Promise<Conversion> {
  const { method: name, ...given } = request;
  const method = methodByName(name);
  const options = parseMethodOptions(method, given);
  method.check(options, model.config);
  return await method.convert(model, options, conversionContext(inputs));
}

function conversionContext(inputs: ConversionInputs): ConversionContext {
  const { engine, tokenizer, text } = inputs;
  const sampling: CalibrationOptions = {
    text: text.name,
    samples: inputs.samples ?? CALIBRATION_DEFAULTS.samples,
    tokens: inputs.tokens ?? CALIBRATION_DEFAULTS.tokens,
    seed: inputs.seed ?? CALIBRATION_DEFAULTS.seed,
    passes: inputs.passes ?? CALIBRATION_DEFAULTS.passes,
  };
  // One model's moments are asked for several times in a conversion.
  const known = new Map<string, Promise<ModelMoments>>();
  const supply = (model: DecoderModel): MomentsSupply => ({
    ...(inputs.cacheFolder === undefined ? {} : { folder: inputs.cacheFolder }),
    sequences: () =>
      sampledSequences(sampling, text, tokenizer, model.config.vocabSize),
    open: () => engine.open(model),
    progress: (done, total) => inputs.progress?.("calibrate", done, total),
  });
  return {
    passes: sampling.passes,
    async moments(model) {
      const found = known.get(model.sha256) ?? getMoments({
        model,
        textSha256: text.sha256,
        tokenizerSha256: tokenizer.sha256,
        sampling,
        engine: engine.describe(),
      }, supply(model)).then(({ moments }) => moments);
      known.set(model.sha256, found);
      return await found;
    },
    async heldOutNll(model) {
      const { vocabSize } = model.config;
      const windows = collectHeldOut(sampling, text, tokenizer, vocabSize);
      return await scoreHeldOut(
        engine,
        model,
        windows,
        (done, total) => inputs.progress?.("held-out perplexity", done, total),
      );
    },
    progress: (stage, done, total) => inputs.progress?.(stage, done, total),
  };
}
