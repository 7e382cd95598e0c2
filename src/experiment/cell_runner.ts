// Runs cells in the process it is called in: one model, one engine, the current
// variant's conversion and session kept over consecutive cells. The worker
// wraps it in a process of its own.

import { InputError } from "../base/errors.ts";
import { type DType, DTYPE_BYTES } from "../base/dtype.ts";
import { getMoments } from "../calibration/moments_cache.ts";
import { methodByName } from "../conversion/methods/mod.ts";
import type { Conversion } from "../conversion/method.ts";
import type { Engine, EngineDescription, Session } from "../engine/engine.ts";
import { openEngine } from "../engine/open.ts";
import { cacheTheory, measureCache } from "../evaluation/cache_bytes.ts";
import { planBatch } from "../evaluation/memory_budget.ts";
import { perplexity } from "../evaluation/perplexity.ts";
import { throughput } from "../evaluation/throughput.ts";
import type { DecoderModel } from "../model/decoder.ts";
import type { ModelMoments } from "../model/moments.ts";
import { openText } from "../text/open_text.ts";
import type { TextSource } from "../text/text_source.ts";
import { parseByteSize } from "./byte_size.ts";
import {
  collectHeldOut,
  sampledSequences,
  scoreHeldOut,
} from "./calibration_text.ts";
import { type OpenedModel, openModel, randomTokens } from "./inputs.ts";
import { weightElements } from "./weight_elements.ts";
import type { PlannedCell } from "./plan.ts";
import type {
  CacheMetrics,
  CellRecord,
  ConversionMetrics,
  PerplexityMetrics,
  ThroughputMetrics,
} from "./record.ts";
import type { WorkerSpec } from "./worker_protocol.ts";

/** Where a runner says what it does. */
export interface RunnerReport {
  progress(stage: string, done: number, total: number): void;
  log(message: string): void;
}

/** A stated memoryBudget does not hold the cell: a result, not a failure. */
export class ForeseenOutOfMemory extends Error {
  override name = "ForeseenOutOfMemory";
}

interface Variant {
  readonly key: string;
  readonly conversion: Conversion;
  readonly metrics: ConversionMetrics;
}

/** Seed of prompts for timing and cache measurement. */
const PROMPT_SEED = 7;

/** Runs the cells of one experiment. */
export class CellRunner {
  readonly #spec: WorkerSpec;
  readonly #report: RunnerReport;
  readonly #opened: OpenedModel;
  readonly #model: DecoderModel;
  readonly #engine: Engine;
  readonly #texts = new Map<string, TextSource>();
  readonly #ids = new Map<string, Int32Array>();
  readonly #moments = new Map<string, ModelMoments>();
  readonly #heldOutNlls = new Map<string, number>();
  #variant: Variant | undefined;
  /** The variant whose conversion failed last: its cells come one after the other. */
  #failed: { readonly key: string; readonly error: unknown } | undefined;
  #session: Session | undefined;

  private constructor(
    spec: WorkerSpec,
    report: RunnerReport,
    opened: OpenedModel,
    engine: Engine,
  ) {
    this.#spec = spec;
    this.#report = report;
    this.#opened = opened;
    this.#model = opened.model;
    this.#engine = engine;
  }

  /**
   * Opens the experiment's model and engine.
   *
   * @param spec The resolved experiment.
   * @param report Where to say what is done.
   */
  static async open(
    spec: WorkerSpec,
    report: RunnerReport,
  ): Promise<CellRunner> {
    const { model, engine } = spec.experiment;
    const opened = await openModel(
      typeof model === "string" ? [model] : model,
      (message) => report.log(message),
      spec.files === undefined ? {} : { knownFiles: spec.files },
    );
    const expected = spec.modelSha256 ?? opened.weightsSha256;
    if (opened.weightsSha256 !== expected) {
      opened.close();
      throw new InputError(
        `Cannot measure model ${opened.name} as its weights have changed since the run began: their sha256 must be ${expected}, current value is ${opened.weightsSha256}`,
      );
    }
    const { name, ...options } = engine;
    return new CellRunner(
      spec,
      report,
      opened,
      await openEngine(name, options),
    );
  }

  /** The engine in use. */
  describe(): EngineDescription {
    return this.#engine.describe();
  }

  /**
   * Measures one cell.
   *
   * @param cell Of the plan.
   * @returns Its metrics.
   * @throws {ForeseenOutOfMemory} If a stated memoryBudget is exceeded by arithmetic.
   */
  async run(cell: PlannedCell): Promise<NonNullable<CellRecord["metrics"]>> {
    switch (cell.measure) {
      case "conversion":
        return (await this.#convert(cell)).metrics;
      case "perplexity":
        return await this.#perplexity(cell);
      case "cache":
        return await this.#cache(cell);
      case "throughput":
        return await this.#throughput(cell);
      default:
        return cell.measure satisfies never;
    }
  }

  /** Releases the session, the engine and the checkpoint. */
  async close(): Promise<void> {
    await this.#closeSession();
    await this.#engine.close();
    this.#opened.close();
  }

  async #closeSession(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }

  async #openSession(cell: PlannedCell): Promise<Session> {
    const { conversion } = await this.#convert(cell);
    return this.#session ??= await this.#engine.open(conversion.model);
  }

  async #convert(cell: PlannedCell): Promise<Variant> {
    const key = JSON.stringify(cell.variant);
    if (this.#variant?.key === key) return this.#variant;
    if (this.#failed?.key === key) throw this.#failed.error;
    await this.#closeSession();
    this.#variant = undefined;
    try {
      return this.#variant = await this.#convertAnew(cell, key);
    } catch (error) {
      this.#failed = { key, error };
      throw error;
    }
  }

  async #convertAnew(cell: PlannedCell, key: string): Promise<Variant> {
    const { method: name, ...options } = cell.variant;
    const method = methodByName(name);
    const { calibration } = this.#spec.experiment;
    const started = performance.now();
    let calibrationSeconds = 0;
    let calibrationTokens = 0;
    let cached = true;
    const conversion = await method.convert(this.#model, options, {
      passes: calibration?.passes ?? 2,
      moments: async (model) => {
        const result = await this.#getMoments(model);
        calibrationSeconds += result.seconds;
        calibrationTokens = result.moments.tokens;
        cached &&= result.cached;
        return result.moments;
      },
      heldOutNll: (model) => this.#heldOutNll(model),
      progress: (stage, done, total) =>
        this.#report.progress(stage, done, total),
    });
    const keptEnergy = conversion.layers.map((layer) => layer.keptEnergy);
    return {
      key,
      conversion,
      metrics: {
        wallSeconds: (performance.now() - started) / 1000 - calibrationSeconds,
        calibrationWallSeconds: calibrationSeconds,
        calibrationCached: cached,
        calibrationTokens,
        keptEnergyByLayer: keptEnergy.filter((kept) => kept !== undefined),
        layers: conversion.layers,
        resolved: conversion.resolved,
      },
    };
  }

  async #getMoments(model: DecoderModel) {
    const known = this.#moments.get(model.sha256);
    if (known !== undefined) {
      return { moments: known, cached: true, seconds: 0 };
    }
    const calibration = this.#calibration();
    const { momentsFolder } = this.#spec;
    const text = await this.#text(calibration.text);
    const result = await getMoments({
      model,
      textSha256: text?.sha256 ?? "synthetic",
      tokenizerSha256: this.#opened.tokenizer?.sha256 ?? "none",
      sampling: calibration,
      engine: this.describe(),
    }, {
      ...(momentsFolder === undefined ? {} : { folder: momentsFolder }),
      sequences: () =>
        sampledSequences(
          calibration,
          text,
          this.#opened.tokenizer,
          this.#model.config.vocabSize,
        ),
      open: () => this.#engine.open(model),
      progress: (done, total) =>
        this.#report.progress("calibrate", done, total),
      warn: (message) => this.#report.log(message),
    });
    this.#moments.set(model.sha256, result.moments);
    return result;
  }

  /** Variants that choose among the same models score each once. */
  async #heldOutNll(model: DecoderModel): Promise<number> {
    const known = this.#heldOutNlls.get(model.sha256);
    if (known !== undefined) return known;
    const calibration = this.#calibration();
    const windows = collectHeldOut(
      calibration,
      await this.#text(calibration.text),
      this.#opened.tokenizer,
      this.#model.config.vocabSize,
    );
    const nll = await scoreHeldOut(
      this.#engine,
      model,
      windows,
      (done, total) =>
        this.#report.progress("held-out perplexity", done, total),
    );
    this.#heldOutNlls.set(model.sha256, nll);
    return nll;
  }

  #calibration() {
    const { calibration } = this.#spec.experiment;
    if (calibration === undefined) {
      throw new RangeError(
        "Cannot calibrate as the experiment does not say how",
      );
    }
    return calibration;
  }

  async #text(name: string): Promise<TextSource | undefined> {
    if (name === "synthetic") return undefined;
    const known = this.#texts.get(name);
    if (known !== undefined) return known;
    const text = await openText(name);
    this.#texts.set(name, text);
    return text;
  }

  async #perplexity(cell: PlannedCell): Promise<PerplexityMetrics> {
    const measure = this.#spec.experiment.measure.perplexity!;
    const windowTokens = cell.contextTokens!;
    const text = await this.#text(measure.text);
    const { tokenizer } = this.#opened;
    if (text === undefined || tokenizer === undefined) {
      throw new RangeError(
        `Cannot measure perplexity as it needs a text and a tokenizer: current text is ${measure.text}`,
      );
    }
    let ids = this.#ids.get(text.sha256);
    if (ids === undefined) {
      this.#report.progress("tokenize", 0, 1);
      this.#ids.set(text.sha256, ids = tokenizer.encode(text.text));
    }
    const session = await this.#openSession(cell);
    const scores = await perplexity(session, ids, {
      windowTokens,
      tokens: measure.tokens,
      ...(measure.batch === undefined ? {} : { batch: measure.batch }),
      progress: (done, total) =>
        this.#report.progress("perplexity", done, total),
    });
    const { windowNll, ...rest } = scores;
    return {
      ...rest,
      windows: windowNll.length,
      windowTokens,
      tokens: windowNll.length * windowTokens,
      text: measure.text,
      textSha256: text.sha256,
      windowNll,
    };
  }

  /** Of a cached number: what the engine computes in, f64 in the reference. */
  #elementBytes(): number {
    const { dtype } = this.describe();
    return Object.hasOwn(DTYPE_BYTES, dtype) ? DTYPE_BYTES[dtype as DType] : 4;
  }

  async #cache(cell: PlannedCell): Promise<CacheMetrics> {
    const { conversion } = await this.#convert(cell);
    const bytes = this.#elementBytes();
    const theory = await cacheTheory(conversion.model, bytes);
    const original = await cacheTheory(this.#model, bytes);
    const session = await this.#openSession(cell);
    this.#report.progress("prefill", 0, 1);
    const measured = await measureCache(
      session,
      theory,
      this.#prompt(cell.contextTokens!),
      this.#spec.experiment.measure.cache!.slackBytes,
    );
    return {
      ...measured,
      reduction: 1 - theory.bytesPerToken / original.bytesPerToken,
    };
  }

  async #throughput(cell: PlannedCell): Promise<ThroughputMetrics> {
    const { experiment } = this.#spec;
    const measure = experiment.measure.throughput!;
    const contextTokens = cell.contextTokens!;
    const { conversion } = await this.#convert(cell);
    const bytes = this.#elementBytes();
    const theory = await cacheTheory(conversion.model, bytes);
    const plan = planBatch({
      batch: measure.batch,
      ...(measure.memoryBudget === undefined
        ? {}
        : { memoryBudgetBytes: parseByteSize(measure.memoryBudget) }),
      // Weights are never wider than f32.
      weightBytes: await weightElements(conversion.model) * Math.min(bytes, 4),
      cacheBytesPerToken: theory.bytesPerToken,
      tokens: contextTokens + measure.steps,
      device: experiment.engine.device === "cpu" ? "cpu" : "gpu",
    });
    if (plan.exceeded !== undefined) {
      throw new ForeseenOutOfMemory(plan.exceeded);
    }
    const session = await this.#openSession(cell);
    const speed = await throughput(
      session,
      this.#prompt(plan.batchSize * contextTokens),
      {
        batchSize: plan.batchSize,
        contextTokens,
        repetitions: measure.repetitions,
        steps: measure.steps,
        warmups: measure.warmups,
        progress: (done, total) =>
          this.#report.progress("throughput", done, total),
      },
    );
    return { ...speed, memoryBytes: plan.memoryBytes };
  }

  #prompt(length: number): Int32Array {
    return randomTokens(length, this.#model.config.vocabSize, PROMPT_SEED);
  }
}
