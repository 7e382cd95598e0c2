// Runs cells in the process it is called in: one model, one engine, the current
// variant's conversion and session kept over consecutive cells. The worker
// wraps it in a process of its own.

import { InputError } from "../base/errors.ts";
import { type DType, DTYPE_BYTES } from "../base/dtype.ts";
import type { Engine, EngineDescription, Session } from "../engine/engine.ts";
import { openEngine } from "../engine/open.ts";
import {
  type CacheTheory,
  cacheTheory,
  measureCache,
} from "../evaluation/cache_bytes.ts";
import type { MemoryGrowth } from "../evaluation/device_memory.ts";
import { batchTokensOf, perplexity } from "../evaluation/perplexity.ts";
import type { DecoderModel } from "../model/decoder.ts";
import { Calibrator } from "./calibrator.ts";
import { DivergenceMeter } from "./divergence_meter.ts";
import { gpuFault } from "./gpu_fault.ts";
import { GrowthMeter } from "./growth_meter.ts";
import { type OpenedModel, openModel, randomTokens } from "./inputs.ts";
import { type ConvertedVariant, convertVariant } from "./convert_variant.ts";
import type { PlannedCell } from "./plan.ts";
import type {
  CacheMetrics,
  CellRecord,
  DivergenceMetrics,
  Measure,
  PerplexityMetrics,
  ThroughputMetrics,
} from "./record.ts";
import { StageClock, type StageSeconds } from "./stage_clock.ts";
import { measureThroughput } from "./throughput_meter.ts";
import { type TokenizedText, TokenizedTexts } from "./tokenized_texts.ts";
import { NotTimed, untimedReason } from "./untimed.ts";
import type { WorkerSpec } from "./worker_protocol.ts";

/** Where a runner says what it does. */
export interface RunnerReport {
  progress(stage: string, done: number, total: number): void;
  log(message: string): void;
  /** What the user should see without asking: a cache that was damaged. @default log */
  warn?(message: string): void;
}

interface Variant extends ConvertedVariant {
  readonly key: string;
}

/** Seed of prompts for timing and cache measurement. */
const PROMPT_SEED = 7;

/** Tokens of the prompt in front of the rows that memory growth is made of. */
const GROWTH_PROMPT_TOKENS = 8;

/** Runs the cells of one experiment. */
export class CellRunner {
  readonly #spec: WorkerSpec;
  readonly #report: RunnerReport;
  readonly #opened: OpenedModel;
  readonly #model: DecoderModel;
  readonly #engine: Engine;
  readonly #texts: TokenizedTexts;
  readonly #calibrator: Calibrator;
  readonly #clock = new StageClock();
  readonly #growthMeter = new GrowthMeter();
  #divergenceMeter: DivergenceMeter | undefined;
  /** Calibration runs before the current cell. */
  #runsBefore = 0;
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
    this.#texts = new TokenizedTexts(opened.tokenizer);
    this.#calibrator = new Calibrator({
      spec,
      opened,
      engine,
      text: (name) => this.#texts.text(name),
      ...report,
    });
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
    const { name, software: _software, ...options } = engine;
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

  /** Of the latest cell. */
  get stageSeconds(): StageSeconds {
    return this.#clock.seconds;
  }

  /** Times that the latest cell ran the calibration text through a model. */
  get calibrationRuns(): number {
    return this.#calibrator.runs - this.#runsBefore;
  }

  /**
   * Measures one cell.
   *
   * @param cell Of the plan.
   * @returns Its metrics.
   * @throws {ForeseenOutOfMemory} If a stated memoryBudget is exceeded by arithmetic.
   * @throws {NotTimed} If the adapter is a software one and the experiment does not ask for its speed.
   */
  async run(cell: PlannedCell): Promise<NonNullable<CellRecord["metrics"]>> {
    this.#clock.reset();
    this.#runsBefore = this.#calibrator.runs;
    try {
      return await this.#measure(cell);
    } catch (error) {
      // What a session holds after a fault of its device is anyone's guess.
      if (gpuFault(error) !== undefined) {
        await this.#closeSession().catch(() => {});
      }
      throw error;
    }
  }

  async #measure(
    cell: PlannedCell,
  ): Promise<NonNullable<CellRecord["metrics"]>> {
    switch (cell.measure) {
      case "conversion":
        return (await this.#convert(cell)).metrics;
      case "perplexity":
        return await this.#perplexity(cell);
      case "divergence":
        return await this.#divergence(cell);
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
    return this.#session ??= await this.#clock.time(
      "opening",
      () => this.#engine.open(conversion.model),
    );
  }

  async #convert(cell: PlannedCell): Promise<Variant> {
    const key = JSON.stringify([cell.variant, cell.calibrationSeed]);
    if (this.#variant?.key === key) return this.#variant;
    if (this.#failed?.key === key) throw this.#failed.error;
    await this.#closeSession();
    this.#variant = undefined;
    this.#calibrator.useSeed(cell.calibrationSeed);
    try {
      return this.#variant = await this.#clock.time(
        "conversion",
        async () => ({
          key,
          ...await convertVariant(this.#model, cell.variant, {
            passes: this.#spec.experiment.calibration?.passes ?? 2,
            calibrator: this.#calibrator,
            clock: this.#clock,
            progress: this.#report.progress,
          }),
        }),
      );
    } catch (error) {
      this.#failed = { key, error };
      throw error;
    }
  }

  async #perplexity(cell: PlannedCell): Promise<PerplexityMetrics> {
    const measure = this.#spec.experiment.measure.perplexity!;
    const windowTokens = cell.contextTokens!;
    const { ids, sha256 } = await this.#tokenized(measure.text, cell.measure);
    const session = await this.#openSession(cell);
    const scores = await this.#clock.time(
      "measuring",
      () =>
        perplexity(session, ids, {
          windowTokens,
          tokens: measure.tokens,
          ...(measure.batch === undefined
            ? { batchTokens: batchTokensOf(this.describe().name) }
            : { batch: measure.batch }),
          progress: (done, total) =>
            this.#report.progress("perplexity", done, total),
        }),
    );
    const { windowNll, ...rest } = scores;
    return {
      ...rest,
      windows: windowNll.length,
      windowTokens,
      tokens: windowNll.length * windowTokens,
      text: measure.text,
      textSha256: sha256,
      windowNll,
    };
  }

  async #divergence(cell: PlannedCell): Promise<DivergenceMetrics> {
    const measure = this.#spec.experiment.measure.divergence!;
    const meter = this.#divergenceMeter ??= new DivergenceMeter({
      measure,
      original: this.#model,
      engine: this.#engine,
      ...await this.#tokenized(measure.text, cell.measure),
      progress: (...stage) => this.#report.progress(...stage),
    });
    const { conversion: { model } } = await this.#convert(cell);
    if (!meter.isPrepared) {
      // Two models at once would double what the weights take.
      await this.#closeSession();
      await this.#clock.time("measuring", () => meter.prepare());
    }
    const session = await this.#openSession(cell);
    return await this.#clock.time(
      "measuring",
      () => meter.measure({ model, session }, cell.contextTokens!),
    );
  }

  async #tokenized(name: string, measure: Measure): Promise<TokenizedText> {
    return await this.#texts.tokenized(
      name,
      `measure ${measure}`,
      () => this.#report.progress("tokenize", 0, 1),
    );
  }

  /** Of a cached number: where nothing else is said what the engine computes in, f64 in the reference. */
  #cacheElementBytes(): number {
    const { cacheDtype, dtype } = this.describe();
    return bytesOf(cacheDtype ?? dtype);
  }

  async #cache(cell: PlannedCell): Promise<CacheMetrics> {
    const { conversion } = await this.#convert(cell);
    const bytes = this.#cacheElementBytes();
    const theory = await cacheTheory(conversion.model, bytes);
    const original = await cacheTheory(this.#model, bytes);
    const session = await this.#openSession(cell);
    this.#report.progress("prefill", 0, 1);
    const measured = await this.#clock.time("measuring", () =>
      measureCache(
        session,
        theory,
        this.#prompt(cell.contextTokens!),
        this.#spec.experiment.measure.cache!.slackBytes,
      ));
    return {
      ...measured,
      ...await this.#memoryGrowth(cell, session, theory),
      reduction: 1 - theory.bytesPerToken / original.bytesPerToken,
    };
  }

  /** Once a variant, at its longest context: growth does not depend on the context. */
  async #memoryGrowth(
    cell: PlannedCell,
    session: Session,
    theory: CacheTheory,
  ): Promise<MemoryGrowth> {
    const { contexts, memoryGrowth } = this.#spec.experiment.measure.cache!;
    if (memoryGrowth !== true) return {};
    if (cell.contextTokens !== Math.max(...contexts)) return {};
    return await this.#clock.time(
      "measuring",
      () =>
        this.#growthMeter.measure(session, this.describe(), {
          theory,
          prompt: this.#prompt(GROWTH_PROMPT_TOKENS),
          maxTokens: this.#model.config.maxPositionEmbeddings,
        }, () => this.#closeSession()),
    );
  }

  async #throughput(cell: PlannedCell): Promise<ThroughputMetrics> {
    const { experiment } = this.#spec;
    const untimed = untimedReason(experiment, this.describe());
    if (untimed !== undefined) throw new NotTimed(untimed);
    const { conversion } = await this.#convert(cell);
    return await measureThroughput({
      measure: experiment.measure.throughput!,
      contextTokens: cell.contextTokens!,
      ...(cell.load === undefined ? {} : { load: cell.load }),
      model: conversion.model,
      engine: this.#engine,
      device: experiment.engine.device === "cpu" ? "cpu" : "gpu",
      cacheElementBytes: this.#cacheElementBytes(),
      openSession: () => this.#openSession(cell),
      prompt: (tokens) => this.#prompt(tokens),
      time: (work) => this.#clock.time("measuring", work),
      progress: this.#report.progress,
      log: this.#report.log,
    });
  }

  #prompt(length: number): Int32Array {
    return randomTokens(length, this.#model.config.vocabSize, PROMPT_SEED);
  }
}

/** Of an element that an engine names. */
function bytesOf(dtype: string): number {
  return Object.hasOwn(DTYPE_BYTES, dtype) ? DTYPE_BYTES[dtype as DType] : 4;
}
