// Moments and held-out scores of an experiment's calibration, each made once.

import { getMoments } from "../calibration/moments_cache.ts";
import type { CalibrationOptions } from "../calibration/options.ts";
import type { Engine } from "../engine/engine.ts";
import type { DecoderModel } from "../model/decoder.ts";
import type { ModelMoments } from "../model/moments.ts";
import type { TextSource } from "../text/text_source.ts";
import {
  collectHeldOut,
  sampledSequences,
  scoreHeldOut,
} from "./calibration_text.ts";
import type { OpenedModel } from "./inputs.ts";
import { calibrationOf } from "./schema.ts";
import type { WorkerSpec } from "./worker_protocol.ts";

/** What a calibrator works with. */
export interface CalibratorParts {
  readonly spec: WorkerSpec;
  readonly opened: OpenedModel;
  readonly engine: Engine;
  /** Undefined for the synthetic text. */
  text(name: string): Promise<TextSource | undefined>;
  progress(stage: string, done: number, total: number): void;
  log(message: string): void;
  /** @default log */
  warn?(message: string): void;
}

/** Calibrates models of one experiment. */
export class Calibrator {
  readonly #parts: CalibratorParts;
  readonly #moments = new Map<string, ModelMoments>();
  readonly #heldOutNlls = new Map<string, number>();
  #seed: number | undefined;
  #runs = 0;

  constructor(parts: CalibratorParts) {
    this.#parts = parts;
  }

  /** Times that the calibration text was run through a model. */
  get runs(): number {
    return this.#runs;
  }

  /**
   * From now on calibrates with this seed; what was made with another one is
   * forgotten, as far as the moments' cache does not keep it.
   *
   * @param seed Where the experiment names several.
   */
  useSeed(seed: number | undefined): void {
    if (seed === this.#seed) return;
    this.#seed = seed;
    this.#moments.clear();
    this.#heldOutNlls.clear();
  }

  /**
   * Moments of a model.
   *
   * @param model The original, or one on the way to a conversion.
   * @returns The moments, whether they were there, and the time that getting them took.
   */
  async moments(model: DecoderModel): Promise<{
    readonly moments: ModelMoments;
    readonly cached: boolean;
    readonly seconds: number;
  }> {
    const known = this.#moments.get(model.sha256);
    if (known !== undefined) {
      return { moments: known, cached: true, seconds: 0 };
    }
    const { spec, opened, engine, text, progress, log, warn = log } =
      this.#parts;
    const calibration = this.#options();
    const source = await text(calibration.text);
    const result = await getMoments({
      model,
      textSha256: source?.sha256 ?? "synthetic",
      tokenizerSha256: opened.tokenizer?.sha256 ?? "none",
      sampling: calibration,
      engine: engine.describe(),
    }, {
      ...(spec.momentsFolder === undefined
        ? {}
        : { folder: spec.momentsFolder }),
      sequences: () =>
        sampledSequences(
          calibration,
          source,
          opened.tokenizer,
          opened.model.config.vocabSize,
        ),
      open: () => {
        this.#runs++;
        return engine.open(model);
      },
      progress: (done, total) => progress("calibrate", done, total),
      warn,
    });
    this.#moments.set(model.sha256, result.moments);
    return result;
  }

  /**
   * Mean NLL of a model on held-out calibration text: variants that choose
   * among the same models score each once.
   *
   * @param model The candidate.
   */
  async heldOutNll(model: DecoderModel): Promise<number> {
    const known = this.#heldOutNlls.get(model.sha256);
    if (known !== undefined) return known;
    const { opened, engine, text, progress } = this.#parts;
    const calibration = this.#options();
    const windows = collectHeldOut(
      calibration,
      await text(calibration.text),
      opened.tokenizer,
      opened.model.config.vocabSize,
    );
    const nll = await scoreHeldOut(
      engine,
      model,
      windows,
      (done, total) => progress("held-out perplexity", done, total),
    );
    this.#heldOutNlls.set(model.sha256, nll);
    return nll;
  }

  #options(): CalibrationOptions {
    const { calibration } = this.#parts.spec.experiment;
    if (calibration === undefined) {
      throw new RangeError(
        "Cannot calibrate as the experiment does not say how",
      );
    }
    return calibrationOf(calibration, this.#seed);
  }
}
