// The cells of an experiment, in order, each named by everything that decides
// its numbers. Nothing is run here.

import type { Method } from "../conversion/method.ts";
import { METHODS } from "../conversion/methods/mod.ts";
import { cellId, type Target } from "./cell_id.ts";
import { labelsOf, withoutKeys } from "./experiment_file.ts";
import type { Inputs } from "./inputs.ts";
import { baselineIndices, seededLabel } from "./label.ts";
import {
  checkContexts,
  checkVariants,
  CONTEXT_MEASURES,
} from "./plan_checks.ts";
import type { Load, Measure, VariantRecord } from "./record.ts";
import { runIdentity } from "./run_identity.ts";
import type { Experiment } from "./schema.ts";
import { loadsOf } from "./throughput_measure.ts";

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
  /** Of "throughput", where there are several. */
  readonly load?: Load;
}

/** A resolved experiment and its cells. */
export interface Plan {
  /** Of runIdentity(). */
  readonly runId: string;
  /** `model` is the one that was had; written as the run's experiment.yaml. */
  readonly experiment: Experiment;
  readonly inputs: Inputs;
  /** Of the variant that others are compared with. */
  readonly baselineLabel: string;
  /** The baseline's cells first, then variants in file order; where there are several calibration seeds, all that for one after the other. */
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
  // All variants of one seed come before the next: they share moments in memory.
  for (const [round, seed] of seedsOf(resolved).entries()) {
    for (const i of order) {
      const variant = variants[i]!;
      const seeded = seed !== undefined && isConverted(variant);
      if (round > 0 && !seeded) continue;
      const label = labels[i]!;
      const names = seeded
        ? {
          variantLabel: seededLabel(label, seed),
          calibrationSeed: seed,
          variantGroup: label,
        }
        : { variantLabel: label };
      const { calibrationSeed } = names;
      for (const target of targetsOf(resolved, variant)) {
        const identity = { variant, target, calibrationSeed, machine };
        const cell = cellId(resolved, inputs, identity);
        cells.push({ cell, variant, ...names, ...target });
      }
    }
  }
  return {
    runId: runIdentity(resolved),
    experiment: resolved,
    inputs,
    baselineLabel: labels[baseline[0]!]!,
    cells,
  };
}

/** The seeds of the calibration; one undefined where the experiment does not name several. */
function seedsOf(
  { calibration }: Experiment,
): readonly (number | undefined)[] {
  return calibration?.seeds ?? [undefined];
}

function isConverted(variant: VariantRecord): boolean {
  return variant.method !== "original";
}

function targetsOf(
  { measure }: Experiment,
  variant: VariantRecord,
): Target[] {
  const targets: Target[] = isConverted(variant)
    ? [{ measure: "conversion" }]
    : [];
  for (const name of CONTEXT_MEASURES) {
    // The original does not diverge from itself.
    if (name === "divergence" && !isConverted(variant)) continue;
    const loads = name === "throughput" && measure.throughput !== undefined
      ? loadsOf(measure.throughput)
      : [];
    const distinct = loads.length > 1 ? loads : [undefined];
    for (const load of distinct) {
      for (const contextTokens of measure[name]?.contexts ?? []) {
        targets.push({
          measure: name,
          contextTokens,
          ...(load === undefined ? {} : { load }),
        });
      }
    }
  }
  return targets;
}
