// What a run is asked for, and what it tells.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import type { Check } from "./assemble.ts";
import { shardOf } from "./expand.ts";
import { matchesGlob } from "./glob.ts";
import { groupLabel } from "./label.ts";
import type { Plan, PlannedCell } from "./plan.ts";
import type { CellRecord, CellStatus } from "./record.ts";
import { MAX_TIMEOUT_SECONDS } from "./schema.ts";
import type { WorkerClient } from "./worker_client.ts";

/** What a run tells while it goes on. */
export type RunEvent =
  | {
    readonly type: "start";
    readonly runDir: string;
    /** Cells of this call, and how many of them are there already. */
    readonly cells: number;
    readonly present: number;
  }
  /** An engine process was started. */
  | { readonly type: "worker"; readonly pid: number }
  | {
    readonly type: "cellStart";
    readonly index: number;
    readonly total: number;
    readonly cell: PlannedCell;
  }
  | {
    readonly type: "progress";
    readonly stage: string;
    readonly done: number;
    readonly total: number;
  }
  | {
    readonly type: "cellEnd";
    readonly index: number;
    readonly total: number;
    readonly record: CellRecord;
  }
  | {
    readonly type: "log";
    readonly level: "info" | "debug";
    readonly message: string;
  };

/** An engine process, as a run uses it. */
export type EngineProcess = Pick<
  WorkerClient,
  "pid" | "request" | "kill" | "close"
>;

/** How to run. */
export interface RunOptions {
  /** The run folder. @default results/runs/<experiment>/<run id> */
  readonly out?: string;
  /** Measure again what is there. */
  readonly force?: boolean;
  /** A glob over variant labels. */
  readonly only?: string;
  /** Measure at most so many cells. */
  readonly limit?: number;
  /** "i/n" */
  readonly shard?: string;
  /** Stop at the first cell that is not a result. */
  readonly failFast?: boolean;
  /** Of a cell; overrides the experiment's. */
  readonly timeoutSeconds?: number;
  /** Aborted: the run stops at once and keeps what is measured. */
  readonly signal?: AbortSignal;
  readonly argv?: readonly string[];
  /** Whether to measure the machine's GEMM rate for environment.json. @default true */
  readonly measureRate?: boolean;
  /** Folder of cached moments. @default in the suite's cache folder */
  readonly momentsFolder?: string;
  /** Starts an engine process. @default new WorkerClient */
  startEngine?(onStderr: (line: string) => void): EngineProcess;
  onEvent?(event: RunEvent): void;
}

/** How a run ended. */
export interface RunResult {
  readonly runDir: string;
  /** Of the whole plan, in its order, those that are recorded; with deltas. */
  readonly records: readonly CellRecord[];
  readonly checks: readonly Check[];
  /** Of the cells of this call: of its shard, of its glob. */
  readonly ownChecks: readonly Check[];
  /** Cells of the plan without a record. */
  readonly missing: number;
  readonly counts: Readonly<Record<CellStatus, number>>;
  readonly interrupted: boolean;
  /** 0: all selected cells are results and all their checks pass; 1: not so; 130: interrupted. */
  readonly exitCode: 0 | 1 | 130;
}

/**
 * Checks what the plan cannot.
 *
 * @throws {InputError} If timeoutSeconds is out of range.
 */
export function checkRunOptions({ timeoutSeconds }: RunOptions): void {
  if (timeoutSeconds === undefined) return;
  if (!(timeoutSeconds > 0 && timeoutSeconds <= MAX_TIMEOUT_SECONDS)) {
    throw new InputError(
      `--timeout ${timeoutSeconds}: allowed: > 0 and <= ${MAX_TIMEOUT_SECONDS} seconds`,
    );
  }
}

/** The folder that a plan runs in. */
export function runDirectory(plan: Plan, out?: string): string {
  return out ?? join("results", "runs", plan.experiment.name, plan.runId);
}

/**
 * The cells that a selection leaves.
 *
 * @param cells Of the plan.
 * @param selection Glob and shard.
 * @returns None where there are more shards than cells.
 * @throws {InputError} If the glob matches none or the shard is malformed.
 */
export function selectCells(
  cells: readonly PlannedCell[],
  selection: Pick<RunOptions, "only" | "shard">,
): PlannedCell[] {
  const { only, shard } = selection;
  let selected = cells.filter((cell) =>
    only === undefined || matchesGlob(only, cell.variantLabel) ||
    matchesGlob(only, groupLabel(cell))
  );
  if (selected.length === 0) {
    const labels = [...new Set(cells.map((cell) => cell.variantLabel))];
    throw new InputError(
      `--only ${only}: matches no variant; variants: ${labels.join(", ")}`,
    );
  }
  if (shard !== undefined) {
    try {
      selected = shardOf(selected, shard);
    } catch (error) {
      throw new InputError(`--shard ${shard}: ${(error as Error).message}`);
    }
  }
  return selected;
}
