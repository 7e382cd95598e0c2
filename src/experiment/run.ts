// Runs a plan: one engine process at a time, one file a cell, results rebuilt
// from the files. A killed run goes on at its first missing cell.

import { join } from "node:path";
import { stringify } from "yaml";
import { cacheFolder } from "../checkpoint/cache_folder.ts";
import { InputError } from "../base/errors.ts";
import type { EngineDescription } from "../engine/engine.ts";
import {
  type Check,
  evaluateChecks,
  toCsv,
  toJsonLines,
  withDeltas,
} from "./assemble.ts";
import { shardOf } from "./expand.ts";
import { matchesGlob } from "./glob.ts";
import type { Plan, PlannedCell } from "./plan.ts";
import { environmentOf, type GitState, gitState } from "./provenance.ts";
import { type CellRecord, type CellStatus, SCHEMA_VERSION } from "./record.ts";
import { isResult, RunFolder, writeAtomically } from "./run_folder.ts";
import {
  WorkerClient,
  WorkerDeath,
  WorkerInterrupted,
  WorkerTimeout,
} from "./worker_client.ts";

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
  onEvent?(event: RunEvent): void;
}

/** How a run ended. */
export interface RunResult {
  readonly runDir: string;
  /** Of the whole plan, in its order, those that are recorded; with deltas. */
  readonly records: readonly CellRecord[];
  readonly checks: readonly Check[];
  /** Cells of the plan without a record. */
  readonly missing: number;
  readonly counts: Readonly<Record<CellStatus, number>>;
  readonly interrupted: boolean;
  /** 0: all selected cells are results and all checks pass; 1: not so; 130: interrupted. */
  readonly exitCode: 0 | 1 | 130;
}

/** The folder that a plan runs in. */
export function runDirectory(plan: Plan, out?: string): string {
  return out ?? join("results", "runs", plan.experiment.name, plan.runId);
}

/**
 * Runs a plan, or what is left of it.
 *
 * @param plan Of planExperiment().
 * @param options How to run.
 * @throws {InputError} If the folder holds another run, a selection selects nothing, or the engine cannot be had.
 */
export async function runPlan(
  plan: Plan,
  options: RunOptions = {},
): Promise<RunResult> {
  return await new Run(plan, options).all();
}

/**
 * The cells that a selection leaves.
 *
 * @param cells Of the plan.
 * @param selection Glob and shard.
 * @throws {InputError} If none is left.
 */
export function selectCells(
  cells: readonly PlannedCell[],
  selection: Pick<RunOptions, "only" | "shard">,
): PlannedCell[] {
  const { only, shard } = selection;
  let selected = cells.filter(({ variantLabel }) =>
    only === undefined || matchesGlob(only, variantLabel)
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

class Run {
  readonly #plan: Plan;
  readonly #options: RunOptions;
  readonly #folder: RunFolder;
  #worker: WorkerClient | undefined;
  #engine: EngineDescription | undefined;
  #git: GitState | undefined;
  #environmentWritten = false;
  #log: Deno.FsFile | undefined;

  constructor(plan: Plan, options: RunOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#folder = new RunFolder(runDirectory(plan, options.out));
  }

  async all(): Promise<RunResult> {
    const { cells, experiment } = this.#plan;
    const selected = selectCells(cells, this.#options);
    const experimentText = stringify(experiment, { lineWidth: 100 });
    if (!this.#options.force) await this.#folder.checkSame(experimentText);
    await this.#folder.create();
    this.#log = await Deno.open(this.#folder.file("run.log"), {
      create: true,
      append: true,
    });
    let interrupted = false;
    try {
      this.#write(
        `run ${this.#plan.runId}: ${(this.#options.argv ?? []).join(" ")}`,
      );
      await writeAtomically(
        this.#folder.file("experiment.yaml"),
        experimentText,
      );
      await writeAtomically(
        this.#folder.file("plan.json"),
        `${JSON.stringify(cells.map(plannedLine), null, 1)}\n`,
      );
      this.#git = await gitState();
      const pending = await this.#pending(selected);
      this.#emit({
        type: "start",
        runDir: this.#folder.path,
        cells: selected.length,
        present: selected.length - pending.length,
      });
      interrupted = await this.#measure(
        pending.slice(0, this.#options.limit ?? pending.length),
      );
      const result = await this.#finish(selected, interrupted);
      this.#write(`end: ${JSON.stringify(result.counts)}`);
      return result;
    } finally {
      if (interrupted) this.#worker?.kill();
      await this.#worker?.close();
      this.#log.close();
    }
  }

  async #pending(selected: readonly PlannedCell[]): Promise<PlannedCell[]> {
    if (this.#options.force) {
      for (const { cell } of selected) {
        await Deno.remove(this.#folder.cellPath(cell)).catch((error) => {
          if (!(error instanceof Deno.errors.NotFound)) throw error;
        });
      }
      return [...selected];
    }
    const pending: PlannedCell[] = [];
    for (const cell of selected) {
      const record = await this.#folder.readCell(cell.cell);
      if (record === undefined || !isResult(record)) pending.push(cell);
    }
    return pending;
  }

  /** Whether it was interrupted. */
  async #measure(pending: readonly PlannedCell[]): Promise<boolean> {
    /** Variant and measure -> the reason for which longer contexts are not tried. */
    const exhausted = new Map<string, string>();
    for (const [index, cell] of pending.entries()) {
      if (this.#options.signal?.aborted) return true;
      this.#emit({ type: "cellStart", index, total: pending.length, cell });
      const reason = exhausted.get(`${cell.variantLabel} conversion`) ??
        exhausted.get(`${cell.variantLabel} ${cell.measure}`);
      let record: CellRecord;
      try {
        record = reason === undefined
          ? await this.#measureCell(cell)
          : this.#record(cell, new Date(), {
            status: "skipped",
            error: reason,
          });
      } catch (error) {
        if (error instanceof WorkerInterrupted) return true;
        throw error;
      }
      await this.#folder.writeCell(record);
      if (record.status === "oom" && !isResult(record)) {
        exhausted.set(
          `${cell.variantLabel} ${cell.measure}`,
          cell.measure === "conversion"
            ? "skipped as the conversion ran out of memory"
            : `skipped as contextTokens ${cell.contextTokens} ran out of memory`,
        );
      }
      this.#emit({ type: "cellEnd", index, total: pending.length, record });
      this.#write(
        `${record.status} ${cell.variantLabel} ${cell.measure} ${
          cell.contextTokens ?? ""
        } ${record.error ?? ""}`,
      );
      if (this.#options.failFast && !isResult(record)) return false;
    }
    return false;
  }

  async #measureCell(cell: PlannedCell): Promise<CellRecord> {
    const started = new Date();
    const clock = performance.now();
    const seconds = () => (performance.now() - clock) / 1000;
    const timeoutSeconds = this.#options.timeoutSeconds ??
      this.#plan.experiment.timeoutSeconds;
    try {
      const worker = await this.#openWorker(timeoutSeconds);
      const reply = await worker.request({ op: "cell", cell }, {
        timeoutSeconds,
        ...this.#requestOptions(),
      });
      if (reply.type !== "outcome") {
        const error = reply.type === "error" ? reply.message : reply.type;
        return this.#record(cell, started, {
          status: reply.type === "error" && reply.oom ? "oom" : "failed",
          error,
          wallSeconds: seconds(),
        });
      }
      const { outcome } = reply;
      if (outcome.stack !== undefined) this.#write(outcome.stack);
      this.#engine = outcome.engine;
      return this.#record(cell, started, outcome);
    } catch (error) {
      if (
        !(error instanceof WorkerDeath || error instanceof WorkerTimeout)
      ) throw error;
      await this.#worker?.close();
      this.#worker = undefined;
      return this.#record(cell, started, {
        status: error instanceof WorkerDeath ? error.status : "timeout",
        error: error.message,
        wallSeconds: seconds(),
      });
    }
  }

  async #openWorker(timeoutSeconds: number): Promise<WorkerClient> {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new WorkerClient((line) => this.#write(`engine: ${line}`));
    this.#worker = worker;
    this.#emit({ type: "worker", pid: worker.pid });
    const options = { timeoutSeconds, ...this.#requestOptions() };
    const reply = await worker.request({
      op: "open",
      spec: {
        experiment: this.#plan.experiment,
        files: this.#plan.inputs.files,
        momentsFolder: this.#options.momentsFolder ??
          join(cacheFolder(), "moments"),
      },
    }, options);
    if (reply.type === "error") {
      if (reply.stack !== undefined) this.#write(reply.stack);
      throw reply.oom
        ? new WorkerDeath(reply.message, "oom")
        : new InputError(reply.message);
    }
    if (reply.type === "opened") this.#engine = reply.engine;
    if (!this.#environmentWritten) {
      this.#environmentWritten = true;
      await this.#writeEnvironment(worker);
    }
    return worker;
  }

  async #writeEnvironment(worker: WorkerClient): Promise<void> {
    let gemmGflops: number | undefined;
    if (this.#options.measureRate ?? true) {
      const reply = await worker.request(
        { op: "gemmRate" },
        this.#requestOptions(),
      );
      if (reply.type === "gemmRate") gemmGflops = reply.gflops;
      this.#emit({
        type: "log",
        level: "info",
        message: gemmGflops === undefined
          ? "the machine's GEMM rate could not be measured"
          : `machine: ${gemmGflops.toFixed(0)} GFLOPS in f32 matrix products`,
      });
    }
    const environment = await environmentOf(this.#plan, {
      argv: this.#options.argv ?? [],
      ...(this.#git === undefined ? {} : { git: this.#git }),
      engine: this.#engine!,
      ...(gemmGflops === undefined ? {} : { gemmGflops }),
    });
    const name = this.#options.shard === undefined
      ? "environment.json"
      : `environment.shard-${this.#options.shard.replace("/", "-of-")}.json`;
    const text = `${JSON.stringify(environment, null, 1)}\n`;
    await writeAtomically(this.#folder.file(name), text);
    if (name !== "environment.json") {
      await writeAtomically(this.#folder.file("environment.json"), text);
    }
  }

  #requestOptions() {
    const { signal } = this.#options;
    return {
      ...(signal === undefined ? {} : { signal }),
      onReply: (reply: { type: string }) => this.#onReply(reply),
    };
  }

  #onReply(reply: { type: string; [key: string]: unknown }): void {
    if (reply.type === "progress") this.#emit(reply as unknown as RunEvent);
    if (reply.type === "log") {
      const message = String(reply.message);
      this.#write(`engine: ${message}`);
      this.#emit({ type: "log", level: "debug", message });
    }
  }

  #record(
    cell: PlannedCell,
    started: Date,
    outcome: {
      readonly status: CellStatus;
      readonly error?: string;
      readonly metrics?: CellRecord["metrics"];
      readonly peakMemoryBytes?: number;
      readonly wallSeconds?: number;
    },
  ): CellRecord {
    const { experiment, inputs, runId } = this.#plan;
    const { config } = inputs;
    const engine = this.#engine;
    return {
      schemaVersion: SCHEMA_VERSION,
      experiment: experiment.name,
      runId,
      cell: cell.cell,
      status: outcome.status,
      ...(outcome.error === undefined ? {} : { error: outcome.error }),
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
      engine: {
        name: experiment.engine.name,
        ...(engine === undefined ? {} : { provider: engine.provider }),
        dtype: engine?.dtype ?? experiment.engine.dtype,
        ...(engine?.adapter === undefined ? {} : { adapter: engine.adapter }),
      },
      measure: cell.measure,
      ...(cell.contextTokens === undefined
        ? {}
        : { contextTokens: cell.contextTokens }),
      ...(outcome.metrics === undefined ? {} : { metrics: outcome.metrics }),
      peakMemoryBytes: outcome.peakMemoryBytes ?? 0,
      wallSeconds: outcome.wallSeconds ?? 0,
      startedAt: started.toISOString(),
      ...(this.#git === undefined ? {} : { commit: this.#git.commit }),
    } as CellRecord;
  }

  async #finish(
    selected: readonly PlannedCell[],
    interrupted: boolean,
  ): Promise<RunResult> {
    const { cells, experiment } = this.#plan;
    const records = withDeltas(
      await this.#folder.readCells(cells),
      experiment.report.baseline,
    );
    const checks = evaluateChecks(experiment.expect, records);
    for (
      const [name, text] of [
        ["results.jsonl", toJsonLines(records)],
        ["results.csv", toCsv(records, experiment)],
        ["checks.json", `${JSON.stringify(checks, null, 1)}\n`],
      ] as const
    ) {
      await writeAtomically(this.#folder.file(name), text);
    }
    const counts = { ok: 0, failed: 0, oom: 0, timeout: 0, skipped: 0 };
    for (const { status } of records) counts[status]++;
    const ids = new Set(selected.map(({ cell }) => cell));
    const good =
      records.every((record) => !ids.has(record.cell) || isResult(record)) &&
      checks.every(({ ok }) => ok);
    return {
      runDir: this.#folder.path,
      records,
      checks,
      missing: cells.length - records.length,
      counts,
      interrupted,
      exitCode: interrupted ? 130 : good ? 0 : 1,
    };
  }

  #emit(event: RunEvent): void {
    this.#options.onEvent?.(event);
  }

  #write(line: string): void {
    this.#log?.writeSync(
      new TextEncoder().encode(`${new Date().toISOString()} ${line}\n`),
    );
  }
}

function plannedLine(
  { cell, variantLabel, measure, contextTokens }: PlannedCell,
) {
  return { cell, variantLabel, measure, contextTokens };
}
