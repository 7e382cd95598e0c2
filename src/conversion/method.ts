// What a conversion method is: one file under methods/, one declared value. A
// method reads layer weights and layer statistics and gives layer weights; it
// knows no engine. Adding a method: write its file, add it to methods/mod.ts.

import type { z } from "zod";
import type { DecoderModel } from "../model/decoder.ts";
import type { ModelMoments } from "../model/moments.ts";

/** What a conversion may ask for while it runs. */
export interface ConversionContext {
  /** Moments of a model on the calibration text: the original's, or a partially converted model's (a second pass). Cached by content. */
  moments(model: DecoderModel): Promise<ModelMoments>;
  /** 1: all statistics from the original model. 2: the official behaviour, calibrating again after RoRoPE. */
  readonly passes: 1 | 2;
  /** Mean next-token NLL of a model on held-out calibration text (never sampled for moments, never test text); for choices such as freqFold: auto. */
  heldOutNll(model: DecoderModel): Promise<number>;
  /** Progress: layers done of all. */
  progress?(stage: string, done: number, total: number): void;
}

/** What is worth recording of a layer's conversion. */
export interface LayerReport {
  /** Its index. */
  readonly layer: number;
  /** BKV's divisor of the nope keys; 1 where off. */
  readonly keyValueRatio?: number;
  /** Share of the activations' energy that the joint PCA kept, 0-1. */
  readonly keptEnergy?: number;
  /** Total energy (trace) that the PCA saw, before any damping. */
  readonly totalEnergy?: number;
  /** The last eigenvalue that was kept. */
  readonly eigenvalueKept?: number;
  /** The first that was dropped; absent at full rank. */
  readonly eigenvalueDropped?: number;
  /** Share of the key energy in the rotary part, 0-1. */
  readonly rotaryKeyEnergy?: number;
}

/** A converted model with what there is to say of it. */
export interface Conversion {
  readonly model: DecoderModel;
  /** The options with every default and every `auto` resolved. */
  readonly resolved: Readonly<Record<string, unknown>>;
  readonly layers: readonly LayerReport[];
}

/** A conversion method. */
export interface Method<Options = unknown> {
  /** As in an experiment file: "transmla". */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** arXiv id or URL and section. */
  readonly source: string;
  /** Whether every layer that it gives is latent attention: only such models can be written as checkpoints. */
  readonly latent: boolean;
  /** Of a method that asks for no moments, so that experiments need no calibration text. */
  readonly calibrated?: false;
  /** Of a method that gives shapes with seeded weights: it would throw trained ones away. */
  readonly syntheticOnly?: true;
  /** Schema of the options, without `method`; unknown keys refused, defaults filled in. */
  readonly options: z.ZodObject;
  /**
   * Refuses impossible options before any work.
   *
   * @throws {RangeError} For example "Cannot convert with freqFold 3 as it must divide headDim/2 = 32".
   */
  check(options: Options, config: DecoderModel["config"]): void;
  convert(
    model: DecoderModel,
    options: Options,
    context: ConversionContext,
  ): Promise<Conversion>;
}
