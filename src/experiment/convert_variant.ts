// Converts one variant of an experiment and says what that took.

import type { Conversion } from "../conversion/method.ts";
import { methodByName } from "../conversion/methods/mod.ts";
import type { DecoderModel } from "../model/decoder.ts";
import type { Calibrator } from "./calibrator.ts";
import type { ConversionMetrics, VariantRecord } from "./record.ts";
import type { StageClock } from "./stage_clock.ts";

/** A converted model beside the record of its conversion. */
export interface ConvertedVariant {
  readonly conversion: Conversion;
  readonly metrics: ConversionMetrics;
}

/** What a conversion is given. */
export interface ConversionParts {
  readonly passes: 1 | 2;
  readonly calibrator: Calibrator;
  /** Is charged with the calibration. */
  readonly clock: StageClock;
  progress(stage: string, done: number, total: number): void;
}

/**
 * Converts a model.
 *
 * @param model The original.
 * @param variant Method and options.
 * @param parts What the conversion is given.
 */
export async function convertVariant(
  model: DecoderModel,
  variant: VariantRecord,
  parts: ConversionParts,
): Promise<ConvertedVariant> {
  const { method: name, ...options } = variant;
  const { calibrator, clock } = parts;
  const started = performance.now();
  let calibrationSeconds = 0;
  let calibrationTokens = 0;
  let cached = true;
  const moments = new Set<string>();
  const conversion = await methodByName(name).convert(model, options, {
    passes: parts.passes,
    moments: async (model) => {
      const result = await clock.time(
        "calibration",
        () => calibrator.moments(model),
      );
      calibrationSeconds += result.seconds;
      calibrationTokens = result.moments.tokens;
      cached &&= result.cached;
      moments.add(result.moments.sha256.slice(0, 16));
      return result.moments;
    },
    heldOutNll: (model) => calibrator.heldOutNll(model),
    progress: parts.progress,
  });
  const keptEnergy = conversion.layers.map((layer) => layer.keptEnergy);
  return {
    conversion,
    metrics: {
      wallSeconds: (performance.now() - started) / 1000 - calibrationSeconds,
      calibrationWallSeconds: calibrationSeconds,
      calibrationCached: cached,
      calibrationTokens,
      momentsSha256: [...moments],
      keptEnergyByLayer: keptEnergy.filter((kept) => kept !== undefined),
      layers: conversion.layers,
      resolved: conversion.resolved,
    },
  };
}
