// The cells of an experiment, in order, each named by everything that decides
// its numbers. Nothing is run here.

import { InputError } from "../base/errors.ts";
import type { Method } from "../conversion/method.ts";
import { METHODS } from "../conversion/methods/mod.ts";
import { shortHash } from "./canonical.ts";
import { labelsOf, withoutKeys } from "./experiment_file.ts";
import { type Inputs, SYNTHETIC_TEXT } from "./inputs.ts";
import { baselineIndices } from "./label.ts";
import { NUMERICS_VERSION } from "./numerics.ts";
import type { Measure, VariantRecord } from "./record.ts";
import type { Experiment } from "./schema.ts";

/** One measurement that a run will make. */
export interface PlannedCell {
  /** 16 hex digits. */
  readonly cell: string;
  readonly variant: VariantRecord;
  readonly variantLabel: string;
  /** Seed of the calibration's sample, where the experiment names several. */
  readonly calibrationSeed?: number;
  /** The label that the seeds of one variant share. */
  readonly variantGroup?: string;
  readonly measure: Measure;
  /** Absent for "conversion". */
  readonly contextTokens?: number;
}

/** A resolved experiment and its cells. */
export interface Plan {
  /** 16 hex digits of the resolved experiment's hash. */
  readonly runId: string;
  /** `model` is the one that was had; written as the run's experiment.yaml. */
  readonly experiment: Experiment;
  readonly inputs: Inputs;
  /** Of the variant that others are compared with. */
  readonly baselineLabel: string;
  /** The baseline's cells first, then variants in file order. */
  readonly cells: readonly PlannedCell[];
}

/**
 * Plans an experiment.
 *
 * @param experiment Checked by parseExperiment().
 * @param inputs Of identifyInputs().
 * @param machine What timed figures depend on: processor or GPU, driver.
 * @param methods The methods that variants name.
 * @throws {InputError} If a variant or a context is impossible for this model.
 */
export function planExperiment(
  experiment: Experiment,
  inputs: Inputs,
  machine: string,
  methods: readonly Method[] = METHODS,
): Plan {
  const resolved: Experiment = { ...experiment, model: inputs.modelName };
  const labels = labelsOf(resolved, methods);
  const variants = resolved.variants.map(withoutKeys);
  checkVariants(variants, labels, inputs, methods);
  checkContexts(resolved, inputs);
  const baseline = baselineIndices(
    resolved.report.baseline,
    variants,
    labels,
  );
  const order = [
    ...baseline,
    ...variants.keys().filter((i) => !baseline.includes(i)),
  ];
  const cells: PlannedCell[] = [];
  for (const i of order) {
    const variant = variants[i]!;
    const common = { variant, variantLabel: labels[i]! };
    for (const target of targetsOf(resolved, variant)) {
      cells.push({
        cell: cellId(resolved, inputs, machine, variant, target),
        ...common,
        ...target,
      });
    }
  }
  return {
    runId: shortHash(resolved),
    experiment: resolved,
    inputs,
    baselineLabel: labels[baseline[0]!]!,
    cells,
  };
}

interface Target {
  readonly measure: Measure;
  readonly contextTokens?: number;
}

function targetsOf(
  { measure }: Experiment,
  variant: VariantRecord,
): Target[] {
  const targets: Target[] = variant.method === "original"
    ? []
    : [{ measure: "conversion" }];
  for (const name of ["perplexity", "cache", "throughput"] as const) {
    for (const contextTokens of measure[name]?.contexts ?? []) {
      targets.push({ measure: name, contextTokens });
    }
  }
  return targets;
}

function cellId(
  { calibration, engine, measure }: Experiment,
  inputs: Inputs,
  machine: string,
  variant: VariantRecord,
  target: Target,
): string {
  const { perplexity, cache, throughput } = measure;
  const converted = variant.method !== "original";
  return shortHash({
    numerics: NUMERICS_VERSION,
    model: inputs.modelSha256,
    config: inputs.config,
    variant,
    ...target,
    engine: {
      name: engine.name,
      dtype: engine.dtype,
      device: engine.device,
      provider: engine.provider,
      cacheDtype: engine.cacheDtype,
    },
    calibration: converted && calibration !== undefined
      ? {
        ...calibration,
        text: textIdentity(inputs, calibration.text),
        tokenizer: inputs.tokenizerSha256,
      }
      : undefined,
    perplexity: target.measure === "perplexity" && perplexity !== undefined
      ? {
        text: textIdentity(inputs, perplexity.text),
        tokens: perplexity.tokens,
        tokenizer: inputs.tokenizerSha256,
      }
      : undefined,
    cache: target.measure !== "cache"
      ? undefined
      : cache?.memoryGrowth === true
      ? { slackBytes: cache.slackBytes, memoryGrowth: true }
      : cache?.slackBytes,
    throughput: target.measure === "throughput" && throughput !== undefined
      ? {
        ...throughput,
        contexts: undefined,
        threads: engine.threads,
        machine,
      }
      : undefined,
  });
}

/** A text is what it says, whatever it is called. */
function textIdentity(inputs: Inputs, name: string): string {
  return name === SYNTHETIC_TEXT ? name : inputs.textSha256[name]!;
}

function checkVariants(
  variants: readonly VariantRecord[],
  labels: readonly string[],
  inputs: Inputs,
  methods: readonly Method[],
): void {
  const problems: string[] = [];
  variants.forEach((variant, i) => {
    const { method: name, ...options } = variant;
    const method = methods.find((method) => method.name === name)!;
    try {
      method.check(options, inputs.config);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      problems.push(`variant "${labels[i]}": ${error.message}`);
    }
  });
  if (problems.length > 0) throw new InputError(problems.join("\n"));
}

function checkContexts(
  { calibration, measure }: Experiment,
  inputs: Inputs,
): void {
  const limit = inputs.config.maxPositionEmbeddings;
  if (calibration !== undefined && calibration.tokens > limit) {
    throw new InputError(
      `Cannot calibrate as calibration.tokens must be <= ${limit} (maxPositionEmbeddings of ${inputs.modelName}): current value is ${calibration.tokens}`,
    );
  }
  const { steps = 0, contexts: timed = [] } = measure.throughput ?? {};
  const longestTimed = Math.max(...timed) + steps;
  if (longestTimed > limit) {
    throw new InputError(
      `Cannot measure throughput as context + steps must be <= ${limit} (maxPositionEmbeddings of ${inputs.modelName}): current value is ${
        Math.max(...timed)
      } + ${steps}`,
    );
  }
  for (const name of ["perplexity", "cache", "throughput"] as const) {
    for (const context of measure[name]?.contexts ?? []) {
      if (context > limit) {
        throw new InputError(
          `Cannot measure ${name} as contexts must be <= ${limit} (maxPositionEmbeddings of ${inputs.modelName}): current value is ${context}`,
        );
      }
    }
    const budget = measure.perplexity?.tokens;
    const longest = Math.max(...measure.perplexity?.contexts ?? [0]);
    if (typeof budget === "number" && budget < longest) {
      throw new InputError(
        `Cannot measure perplexity as measure.perplexity.tokens must hold one window of ${longest}: current value is ${budget}`,
      );
    }
  }
}
