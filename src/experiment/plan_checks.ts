// What a plan's model cannot do.

import { InputError } from "../base/errors.ts";
import type { Method } from "../conversion/method.ts";
import { stateBytes } from "../evaluation/divergence.ts";
import type { Inputs } from "./inputs.ts";
import type { VariantRecord } from "./record.ts";
import type { DivergenceMeasure, Experiment } from "./schema.ts";

/** Measures that are made at each context, in the order in which they are made. */
export const CONTEXT_MEASURES = [
  "perplexity",
  "divergence",
  "cache",
  "throughput",
] as const;

/** Most memory that the original's hidden states may take. */
const MAX_STATE_BYTES = 2 ** 31;

/**
 * Refuses variants whose options this model cannot have.
 *
 * @throws {InputError} With a line for each.
 */
export function checkVariants(
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

/**
 * Refuses contexts, budgets and prompts that this model or its memory cannot hold.
 *
 * @throws {InputError} If one is impossible.
 */
export function checkContexts(
  { calibration, measure }: Experiment,
  inputs: Inputs,
): void {
  const limit = inputs.config.maxPositionEmbeddings;
  if (calibration !== undefined && calibration.tokens > limit) {
    throw new InputError(
      `Cannot calibrate as calibration.tokens must be <= ${limit} (maxPositionEmbeddings of ${inputs.modelName}): current value is ${calibration.tokens}`,
    );
  }
  const { throughput } = measure;
  if (throughput !== undefined && throughput.workload === undefined) {
    const { steps, contexts } = throughput;
    const longest = Math.max(...contexts);
    if (throughput.cache === undefined && longest + steps > limit) {
      throw new InputError(
        `Cannot measure throughput as context + steps must be <= ${limit} (maxPositionEmbeddings of ${inputs.modelName}): current value is ${longest} + ${steps}`,
      );
    }
  }
  for (const name of CONTEXT_MEASURES) {
    // Seeded numbers mean nothing at any position; only their speed is taken.
    if (measure[name] === throughput && throughput?.cache === "seeded") {
      continue;
    }
    for (const context of measure[name]?.contexts ?? []) {
      if (context > limit) {
        throw new InputError(
          `Cannot measure ${name} as contexts must be <= ${limit} (maxPositionEmbeddings of ${inputs.modelName}): current value is ${context}`,
        );
      }
    }
  }
  for (const name of ["perplexity", "divergence"] as const) {
    const { tokens: budget, contexts = [] } = measure[name] ?? {};
    const longest = Math.max(...contexts);
    if (typeof budget === "number" && budget < longest) {
      throw new InputError(
        `Cannot measure ${name} as measure.${name}.tokens must hold one window of ${longest}: current value is ${budget}`,
      );
    }
  }
  if (measure.divergence !== undefined) {
    checkDivergence(measure.divergence, inputs);
  }
}

/** The original's states are kept over the sweep, and prompts must fit. */
function checkDivergence(
  { tokens, contexts, continuation }: DivergenceMeasure,
  { config, modelName }: Inputs,
): void {
  const { hiddenSize, maxPositionEmbeddings: limit } = config;
  const bytes = contexts.length * stateBytes(tokens, hiddenSize);
  if (bytes > MAX_STATE_BYTES) {
    throw new InputError(
      `Cannot measure divergence as the original's states (contexts x measure.divergence.tokens x hiddenSize x 4 bytes) must take <= ${MAX_STATE_BYTES} bytes: current value is ${contexts.length} x ${tokens} x ${hiddenSize} x 4 = ${bytes}`,
    );
  }
  if (continuation === false) return;
  const { prompts, promptTokens, tokens: steps } = continuation;
  if (promptTokens + steps > limit) {
    throw new InputError(
      `Cannot continue prompts as promptTokens + tokens must be <= ${limit} (maxPositionEmbeddings of ${modelName}): current value is ${promptTokens} + ${steps}`,
    );
  }
  if (prompts * promptTokens > tokens) {
    throw new InputError(
      `Cannot continue prompts as prompts x promptTokens must be <= ${tokens} (measure.divergence.tokens): current value is ${prompts} x ${promptTokens}`,
    );
  }
}
