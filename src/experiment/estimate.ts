// What a plan will take, by arithmetic, for --dry-run: floating-point
// operations over a rate, weights and cache in bytes. Estimates, and called so.

import { methodByName } from "../conversion/methods/mod.ts";
import type { ModelConfig } from "../model/config.ts";
import { stateBytes } from "../evaluation/divergence.ts";
import { continuationAt } from "./cell_id.ts";
import type { Inputs } from "./inputs.ts";
import type { PlannedCell } from "./plan.ts";
import type { VariantRecord } from "./record.ts";
import type { Experiment } from "./schema.ts";
import { type DeviceKind, estimateThroughput } from "./throughput_estimate.ts";

/** What a cell will take. */
export interface CellEstimate {
  readonly cell: string;
  /** Bytes a token that the variant's cache must take; absent where an option is "auto". */
  readonly cacheBytesPerToken: number;
  /** Weights, cache, and what is kept of the original for divergence. */
  readonly memoryBytes: number;
  readonly seconds: number;
  /** Of a cell that its memoryBudget does not hold. */
  readonly exceeds?: true;
}

/** f32 rates: of a 2-core CPU, of a GPU's plain products, of shaders on a few cores. */
const GFLOPS = { cpu: 100, gpu: 10000, software: 10 } as const;

/**
 * Rate assumed where the machine's is not known, in f32.
 *
 * @param kind What the engine computes on.
 */
export function assumedGflops(kind: DeviceKind): number {
  return GFLOPS[kind];
}

/** Memory is assumed to be read at so many bytes a second. */
const MEMORY_RATE = { cpu: 1e10, gpu: 1e12, software: 5e9 } as const;

/** Part of the GEMM rate that a whole forward pass reaches. */
const EFFICIENCY = 0.8;

/**
 * Parameters of a decoder.
 *
 * @param config Its configuration.
 * @returns All weights but norms and biases; tied embeddings counted once.
 */
export function parameterCount(config: ModelConfig): number {
  const { hiddenSize: D, headDim: d, vocabSize } = config;
  const attention = D * d *
    (2 * config.numAttentionHeads + 2 * config.numKeyValueHeads);
  const layer = attention + 3 * D * config.intermediateSize;
  const embeddings = D * vocabSize * (config.tieWordEmbeddings ? 1 : 2);
  return config.numHiddenLayers * layer + embeddings;
}

/**
 * Estimates the cells of a plan in order. Calibration is charged to the first
 * cell that needs it: moments are cached.
 *
 * @param cells Of the plan.
 * @param experiment Of the plan.
 * @param inputs Of the plan.
 * @param kind What the engine computes on.
 * @param gflops Its measured or assumed GEMM rate, f32.
 */
export function estimateCells(
  cells: readonly PlannedCell[],
  experiment: Experiment,
  inputs: Inputs,
  kind: DeviceKind,
  gflops = assumedGflops(kind),
): CellEstimate[] {
  const { config } = inputs;
  const { engine } = experiment;
  const elementBytes = engine.dtype === "f16" ? 2 : 4;
  const cacheElementBytes = (engine.cacheDtype ?? engine.dtype) === "f16"
    ? 2
    : 4;
  const parameters = parameterCount(config);
  const rate = gflops * 1e9 * EFFICIENCY;
  // Decompositions are made on the CPU, whatever the model runs on.
  const cpuRate = kind === "cpu"
    ? rate
    : assumedGflops("cpu") * 1e9 * EFFICIENCY;
  const calibrated = new Set<string>();
  let comparable = false;
  const seconds = (tokens: number, context: number) =>
    tokens * flopsPerToken(config, parameters, context) / rate;

  return cells.map((cell) => {
    const context = cell.contextTokens ?? 0;
    const cacheBytesPerToken = config.numHiddenLayers * cacheElementBytes *
      cacheElements(cell.variant, config);
    const tokenSeconds = (measure: Parameters<typeof wholeWindowTokens>[0]) =>
      seconds(wholeWindowTokens(measure, inputs, context), context);
    let batch = 1;
    let exceeds = false;
    let held = 0;
    let time = 0;
    switch (cell.measure) {
      case "conversion": {
        // Nothing is decomposed where nothing was calibrated.
        if (methodByName(cell.variant.method).calibrated === false) break;
        const { calibration } = experiment;
        const tokens = (calibration?.samples ?? 0) * (calibration?.tokens ?? 0);
        // Decompositions in f64, about 40 products of the smaller of 2 G d and D + 1 a layer.
        // A Gram matrix wider than the moments is worked with as its factors.
        const width = Math.min(
          2 * config.numKeyValueHeads * config.headDim,
          config.hiddenSize + 1,
        );
        time = 40 * config.numHiddenLayers * 2 * width ** 3 / cpuRate;
        // Besides the pass itself, D^2 multiply-adds a token and layer in f64.
        const pass = seconds(tokens, calibration?.tokens ?? 0) +
          4 * tokens * config.numHiddenLayers * config.hiddenSize ** 2 / rate;
        for (const model of calibrationPasses(cell.variant, experiment)) {
          const key = `${cell.calibrationSeed ?? ""} ${model}`;
          if (!calibrated.has(key)) time += pass;
          calibrated.add(key);
        }
        break;
      }
      case "perplexity":
        time = tokenSeconds(experiment.measure.perplexity);
        break;
      case "divergence": {
        const { divergence } = experiment.measure;
        if (divergence === undefined) break;
        const { contexts } = divergence;
        const tokensAt = (length: number) =>
          wholeWindowTokens(divergence, inputs, length);
        held = stateBytes(
          contexts.reduce((sum, length) => sum + tokensAt(length), 0),
          config.hiddenSize,
        );
        // The original's head beside the variant's.
        const head = 2 * config.hiddenSize * config.vocabSize / rate;
        time = tokenSeconds(divergence) + tokensAt(context) * head;
        const step = parameters * elementBytes / MEMORY_RATE[kind];
        const continuing = (to: number) => {
          const own = continuationAt(divergence, to);
          if (own === undefined) return 0;
          const { prompts, promptTokens, tokens } = own;
          return seconds(prompts * promptTokens, promptTokens) + tokens * step;
        };
        time += continuing(context);
        // The original's part is charged to the first cell, too: it is kept.
        if (!comparable) {
          for (const length of contexts) {
            time += seconds(tokensAt(length), length) + continuing(length);
          }
        }
        comparable = true;
        break;
      }
      case "cache":
        time = seconds(context, context);
        break;
      case "throughput": {
        const { throughput } = experiment.measure;
        if (throughput === undefined) break;
        const part = estimateThroughput(throughput, cell, {
          kind,
          weightBytes: parameters * elementBytes,
          cacheBytesPerToken,
          rate: MEMORY_RATE[kind],
          prefillSeconds: seconds,
        });
        batch = part.batch;
        exceeds = part.exceeds;
        time = part.seconds;
        break;
      }
      default:
        cell.measure satisfies never;
    }
    return {
      cell: cell.cell,
      cacheBytesPerToken,
      memoryBytes: parameters * elementBytes +
        batch * context * cacheBytesPerToken + held,
      seconds: time,
      ...(exceeds ? { exceeds } : {}),
    };
  });
}

/** Tokens of whole windows within the budget; a token is taken as 4 characters. */
function wholeWindowTokens(
  measure:
    | { readonly text: string; readonly tokens: number | "all" }
    | undefined,
  inputs: Inputs,
  context: number,
): number {
  if (measure === undefined || context === 0) return 0;
  const available = (inputs.textCharacters[measure.text] ?? 0) / 4;
  const budget = measure.tokens === "all"
    ? available
    : Math.min(available, measure.tokens);
  return Math.floor(budget / context) * context;
}

function flopsPerToken(
  config: ModelConfig,
  parameters: number,
  context: number,
): number {
  const attention = 4 * config.numAttentionHeads * config.headDim * context / 2;
  const untiedInput = config.tieWordEmbeddings
    ? 0
    : config.hiddenSize * config.vocabSize;
  return 2 * (parameters - untiedInput) + config.numHiddenLayers * attention;
}

/** Numbers a token and layer, from the options that methods share. */
function cacheElements(variant: VariantRecord, config: ModelConfig): number {
  const full = 2 * config.numKeyValueHeads * config.headDim;
  const { kvLoraRank, qkRopeHeadDim } = variant;
  return typeof kvLoraRank === "number" && typeof qkRopeHeadDim === "number"
    ? kvLoraRank + qkRopeHeadDim
    : full;
}

/** Names of the models whose moments a conversion needs. */
function calibrationPasses(
  variant: VariantRecord,
  { calibration }: Experiment,
): string[] {
  return calibration?.passes === 2 && variant.method === "transmla"
    ? ["original", `${variant.freqFold} ${variant.qkRopeHeadDim}`]
    : ["original"];
}
