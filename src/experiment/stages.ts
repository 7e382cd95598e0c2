// The time of a run by stage, rebuilt from its cells: a run that was stopped and
// resumed adds up like one that was not.

import type { CellRecord } from "./record.ts";

/** The stages of a run, in the order in which a cell goes through them. */
export const STAGES = [
  "calibration",
  "conversion",
  "opening",
  "perplexity",
  "divergence",
  "cache",
  "throughput",
  "rest",
] as const;

/** A name of STAGES. */
export type Stage = (typeof STAGES)[number];

/** The content of stages.json. */
export interface RunStages {
  /** Of all recorded cells and of the starts of engine processes before them. */
  readonly totalSeconds: number;
  /** In the order of STAGES. */
  readonly stages: readonly {
    /** Its name. */
    readonly stage: Stage;
    /** Of all cells together. */
    readonly seconds: number;
    /** Of totalSeconds, 0-1. */
    readonly share: number;
  }[];
  /** Times that the calibration text was run through a model. */
  readonly calibrationRuns: number;
  /** Distinct models that it was needed of: the original, and with two passes each partial-RoPE model. */
  readonly calibrationModels: number;
}

/**
 * Adds up the cells of a run.
 *
 * @param records In any order.
 * @returns Undefined where no record has times by stage, as in runs before there were any.
 */
export function stagesOf(
  records: readonly CellRecord[],
): RunStages | undefined {
  if (records.every(({ stageSeconds }) => stageSeconds === undefined)) {
    return undefined;
  }
  const seconds = new Map<Stage, number>(STAGES.map((stage) => [stage, 0]));
  const add = (stage: Stage, more: number) =>
    seconds.set(stage, seconds.get(stage)! + more);
  const models = new Set<string>();
  let totalSeconds = 0;
  let calibrationRuns = 0;
  for (const record of records) {
    const { wallSeconds, startSeconds = 0 } = record;
    totalSeconds += wallSeconds + startSeconds;
    add("opening", startSeconds);
    const parts = Object.entries(partsOf(record)) as [Stage, number][];
    let known = 0;
    for (const [stage, part] of parts) {
      add(stage, part);
      known += part;
    }
    add("rest", Math.max(0, wallSeconds - known));
    calibrationRuns += record.calibrationRuns ?? 0;
    if (record.measure === "conversion") {
      for (const name of record.metrics?.momentsSha256 ?? []) models.add(name);
    }
  }
  return {
    totalSeconds,
    stages: [...seconds].map(([stage, seconds]) => ({
      stage,
      seconds,
      share: totalSeconds > 0 ? seconds / totalSeconds : 0,
    })),
    calibrationRuns,
    calibrationModels: models.size,
  };
}

/** A record without times by stage has one stage, as its measure is. */
function partsOf(record: CellRecord): Partial<Record<Stage, number>> {
  const { measure, stageSeconds, wallSeconds } = record;
  if (stageSeconds === undefined) {
    if (measure !== "conversion") return { [measure]: wallSeconds };
    const calibration = Math.min(
      record.metrics?.calibrationWallSeconds ?? 0,
      wallSeconds,
    );
    return { calibration, conversion: wallSeconds - calibration };
  }
  const { measuring, ...others } = stageSeconds;
  return measuring === undefined ? others : { ...others, [measure]: measuring };
}
