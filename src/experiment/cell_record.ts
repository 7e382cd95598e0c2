// Puts a cell's record together from the plan and what came of it.

import type { EngineDescription } from "../engine/engine.ts";
import type { Plan, PlannedCell } from "./plan.ts";
import { type CellRecord, type CellStatus, SCHEMA_VERSION } from "./record.ts";
import type { StageSeconds } from "./stage_clock.ts";

/** What came of a cell. */
export interface Outcome {
  readonly status: CellStatus;
  readonly error?: string;
  readonly metrics?: CellRecord["metrics"];
  readonly peakMemoryBytes?: number;
  readonly peakMemoryScope?: "cell" | "process";
  readonly wallSeconds?: number;
  readonly stageSeconds?: StageSeconds;
  readonly calibrationRuns?: number;
}

/** The same, with what the run knows. */
export interface RecordFacts extends Outcome {
  readonly started: Date;
  /** Absent if no engine was opened. */
  readonly engine?: EngineDescription;
  /** Of an engine process that was started for the cell. */
  readonly startSeconds?: number;
  readonly commit?: string;
}

/**
 * Makes a record.
 *
 * @param plan The run's.
 * @param cell Of the plan.
 * @param facts What came of it.
 */
export function cellRecord(
  plan: Plan,
  cell: PlannedCell,
  facts: RecordFacts,
): CellRecord {
  const { experiment, inputs, runId } = plan;
  const { config } = inputs;
  const { engine } = facts;
  return {
    schemaVersion: SCHEMA_VERSION,
    experiment: experiment.name,
    runId,
    cell: cell.cell,
    status: facts.status,
    ...(facts.error === undefined ? {} : { error: facts.error }),
    model: {
      id: inputs.modelName,
      sha256: inputs.modelSha256,
      modelType: config.modelType,
      numHiddenLayers: config.numHiddenLayers,
      hiddenSize: config.hiddenSize,
      numAttentionHeads: config.numAttentionHeads,
      numKeyValueHeads: config.numKeyValueHeads,
      headDim: config.headDim,
    },
    variant: cell.variant,
    variantLabel: cell.variantLabel,
    ...(cell.calibrationSeed === undefined
      ? {}
      : { calibrationSeed: cell.calibrationSeed }),
    ...(cell.variantGroup === undefined
      ? {}
      : { variantGroup: cell.variantGroup }),
    engine: {
      name: experiment.engine.name,
      ...(engine === undefined ? {} : { provider: engine.provider }),
      dtype: engine?.dtype ?? experiment.engine.dtype,
      ...(engine?.cacheDtype === undefined
        ? {}
        : { cacheDtype: engine.cacheDtype }),
      ...(engine?.adapter === undefined ? {} : { adapter: engine.adapter }),
      ...(engine?.adapterKind === undefined
        ? {}
        : { adapterKind: engine.adapterKind }),
    },
    measure: cell.measure,
    ...(cell.contextTokens === undefined
      ? {}
      : { contextTokens: cell.contextTokens }),
    ...(cell.load === undefined ? {} : { load: cell.load }),
    ...(facts.metrics === undefined ? {} : { metrics: facts.metrics }),
    peakMemoryBytes: facts.peakMemoryBytes ?? 0,
    ...(facts.peakMemoryScope === undefined
      ? {}
      : { peakMemoryScope: facts.peakMemoryScope }),
    wallSeconds: facts.wallSeconds ?? 0,
    ...(facts.stageSeconds === undefined
      ? {}
      : { stageSeconds: facts.stageSeconds }),
    ...(facts.startSeconds === undefined
      ? {}
      : { startSeconds: facts.startSeconds }),
    ...(facts.calibrationRuns
      ? { calibrationRuns: facts.calibrationRuns }
      : {}),
    startedAt: facts.started.toISOString(),
    ...(facts.commit === undefined ? {} : { commit: facts.commit }),
  } as CellRecord;
}
