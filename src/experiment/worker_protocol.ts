// What the parent and the engine process say to each other: one JSON object a
// line, on the child's standard input and output.

import type { EngineDescription } from "../engine/engine.ts";
import type { OpenedModel } from "./inputs.ts";
import type { PlannedCell } from "./plan.ts";
import type { CellRecord } from "./record.ts";
import type { Experiment } from "./schema.ts";
import type { StageSeconds } from "./stage_clock.ts";

/** What a worker needs to know before its first cell. */
export interface WorkerSpec {
  /** Resolved: `model` is one name. */
  readonly experiment: Experiment;
  /** Weight files that the parent has hashed. */
  readonly files?: OpenedModel["files"];
  /** Of the weights that the plan was made for; absent: whatever is there. */
  readonly modelSha256?: string;
  /** Folder of cached moments; absent: kept in memory only. */
  readonly momentsFolder?: string;
}

/** Parent to child. */
export type WorkerRequest =
  | { readonly op: "open"; readonly spec: WorkerSpec }
  /** Measures the machine's f32 GEMM rate. */
  | { readonly op: "gemmRate" }
  | { readonly op: "cell"; readonly cell: PlannedCell };

/** The part of a record that only the worker knows. */
export interface CellOutcome {
  readonly status: "ok" | "failed" | "oom" | "skipped";
  readonly error?: string;
  /** For the log; only for unexpected errors. */
  readonly stack?: string;
  readonly metrics?: CellRecord["metrics"];
  readonly engine: EngineDescription;
  readonly peakMemoryBytes: number;
  readonly peakMemoryScope?: "cell" | "process";
  readonly wallSeconds: number;
  readonly stageSeconds: StageSeconds;
  readonly calibrationRuns: number;
  /** The engine is of no more use: the process must end. */
  readonly fatal?: true;
}

/** Child to parent. */
export type WorkerReply =
  | { readonly type: "opened"; readonly engine: EngineDescription }
  | { readonly type: "gemmRate"; readonly gflops: number }
  | {
    readonly type: "progress";
    readonly stage: string;
    readonly done: number;
    readonly total: number;
  }
  /** Without a level, for the log and -v only. */
  | {
    readonly type: "log";
    readonly message: string;
    readonly level?: "info";
  }
  | { readonly type: "outcome"; readonly outcome: CellOutcome }
  /** The request as a whole could not be done. */
  | {
    readonly type: "error";
    readonly message: string;
    readonly oom: boolean;
    readonly stack?: string;
  };
