// The engine process of a run: opened when it is needed, opened again when it
// died, and what each cell's record says of that.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import { cacheFolder } from "../checkpoint/cache_folder.ts";
import type { EngineDescription } from "../engine/engine.ts";
import { cellRecord, type Outcome } from "./cell_record.ts";
import type { Plan, PlannedCell } from "./plan.ts";
import { environmentOf, type GitState } from "./provenance.ts";
import type { CellRecord, CellStatus } from "./record.ts";
import { parseCell } from "./record_schema.ts";
import { type RunFolder, writeAtomically } from "./run_folder.ts";
import type { EngineProcess, RunEvent, RunOptions } from "./run_options.ts";
import {
  WorkerClient,
  WorkerDeath,
  WorkerInterrupted,
  WorkerTimeout,
} from "./worker_client.ts";

/** What an engine works for, and whom it tells. */
export interface CellEngineParts {
  readonly plan: Plan;
  readonly options: RunOptions;
  readonly folder: RunFolder;
  readonly git?: GitState;
  /** Writes a line of the run's log. */
  write(line: string): void;
  emit(event: RunEvent): void;
}

/** One engine process after the other. */
export class CellEngine {
  readonly #parts: CellEngineParts;
  #worker: EngineProcess | undefined;
  #engine: EngineDescription | undefined;
  /** The content of environment.json, until it is written. */
  #environment: string | undefined;
  #environmentKnown = false;
  /** Of engine processes that no record has yet. */
  #startSeconds = 0;

  constructor(parts: CellEngineParts) {
    this.#parts = parts;
  }

  /**
   * Opens the first process. A death is left to the first cell, which records it.
   *
   * @returns Whether it was interrupted.
   * @throws {InputError} If the engine cannot be had.
   */
  async open(): Promise<boolean> {
    try {
      await this.#openWorker();
    } catch (error) {
      if (error instanceof WorkerInterrupted) return true;
      if (error instanceof WorkerDeath || error instanceof WorkerTimeout) {
        return false;
      }
      throw error;
    }
    return false;
  }

  /**
   * Measures a cell; a failure is a record, too.
   *
   * @param cell Of the plan.
   * @throws {WorkerInterrupted} If the run was interrupted.
   */
  async measure(cell: PlannedCell): Promise<CellRecord> {
    const started = new Date();
    let clock = performance.now();
    const seconds = () => (performance.now() - clock) / 1000;
    const timeoutSeconds = this.#timeoutSeconds;
    try {
      const worker = await this.#openWorker();
      // Only where the first process died before it could say what it is.
      if (this.#environment !== undefined) {
        await this.#parts.folder.exclusively(() => this.writeEnvironment());
      }
      clock = performance.now();
      const reply = await worker.request({ op: "cell", cell }, {
        timeoutSeconds,
        ...this.#requestOptions(),
      });
      if (reply.type !== "outcome") {
        const error = reply.type === "error" ? reply.message : reply.type;
        return this.record(cell, started, {
          status: reply.type === "error" && reply.oom ? "oom" : "failed",
          error,
          wallSeconds: seconds(),
        });
      }
      const { outcome } = reply;
      if (outcome.stack !== undefined) this.#parts.write(outcome.stack);
      this.#engine = outcome.engine;
      // A device that is lost stays lost: the next cell opens another.
      if (outcome.fatal) await this.close();
      return this.record(cell, started, outcome);
    } catch (error) {
      let status: CellStatus;
      if (error instanceof WorkerDeath) status = error.status;
      else if (error instanceof WorkerTimeout) status = "timeout";
      // It was to be had before: what has changed since fails this cell.
      else if (error instanceof InputError) status = "failed";
      else throw error;
      await this.close();
      return this.record(cell, started, {
        status,
        error: (error as Error).message,
        wallSeconds: seconds(),
      });
    }
  }

  /**
   * Makes the record of a cell.
   *
   * @param cell Of the plan.
   * @param started When it was.
   * @param outcome What came of it.
   */
  record(cell: PlannedCell, started: Date, outcome: Outcome): CellRecord {
    const startSeconds = this.#startSeconds;
    this.#startSeconds = 0;
    const recordOf = (outcome: Outcome) =>
      cellRecord(this.#parts.plan, cell, {
        ...outcome,
        started,
        ...(startSeconds === 0 ? {} : { startSeconds }),
        ...(this.#engine === undefined ? {} : { engine: this.#engine }),
        ...(this.#parts.git === undefined
          ? {}
          : { commit: this.#parts.git.commit }),
      });
    const record = recordOf(outcome);
    const fault = faultOf(record);
    if (fault === undefined) return record;
    const { metrics: _metrics, ...rest } = outcome;
    return recordOf({ ...rest, status: "failed", error: fault });
  }

  /** Writes environment.json, once; the caller has the folder to itself. */
  async writeEnvironment(): Promise<void> {
    const text = this.#environment;
    if (text === undefined) return;
    this.#environment = undefined;
    const { folder, options: { shard } } = this.#parts;
    const names = ["environment.json"];
    if (shard !== undefined) {
      names.unshift(`environment.shard-${shard.replace("/", "-of-")}.json`);
    }
    for (const name of names) await writeAtomically(folder.file(name), text);
  }

  /** Ends the process at once. */
  kill(): void {
    this.#worker?.kill();
  }

  /** Lets the process end. */
  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.close();
  }

  get #timeoutSeconds(): number {
    return this.#parts.options.timeoutSeconds ??
      this.#parts.plan.experiment.timeoutSeconds;
  }

  async #openWorker(): Promise<EngineProcess> {
    if (this.#worker !== undefined) return this.#worker;
    const clock = performance.now();
    const onStderr = (line: string) => this.#parts.write(`engine: ${line}`);
    const worker = this.#parts.options.startEngine?.(onStderr) ??
      new WorkerClient(onStderr);
    this.#worker = worker;
    this.#parts.emit({ type: "worker", pid: worker.pid });
    try {
      await this.#openEngine(worker);
    } catch (error) {
      // A process that has opened nothing must not be asked for cells.
      await this.close();
      throw error;
    }
    this.#startSeconds += (performance.now() - clock) / 1000;
    return worker;
  }

  async #openEngine(worker: EngineProcess): Promise<void> {
    const reply = await worker.request({
      op: "open",
      spec: {
        experiment: this.#parts.plan.experiment,
        files: this.#parts.plan.inputs.files,
        modelSha256: this.#parts.plan.inputs.modelSha256,
        momentsFolder: this.#parts.options.momentsFolder ??
          join(cacheFolder(), "moments"),
      },
    }, { timeoutSeconds: this.#timeoutSeconds, ...this.#requestOptions() });
    if (reply.type === "error") {
      if (reply.stack !== undefined) this.#parts.write(reply.stack);
      throw reply.oom
        ? new WorkerDeath(reply.message, "oom")
        : new InputError(reply.message);
    }
    if (reply.type === "opened") this.#engine = reply.engine;
    if (!this.#environmentKnown) {
      this.#environmentKnown = true;
      this.#environment = await this.#environmentText(worker);
    }
  }

  async #environmentText(worker: EngineProcess): Promise<string> {
    let gemmGflops: number | undefined;
    if (this.#parts.options.measureRate ?? true) {
      const reply = await worker.request(
        { op: "gemmRate" },
        this.#requestOptions(),
      );
      if (reply.type === "gemmRate") gemmGflops = reply.gflops;
      this.#parts.emit({
        type: "log",
        level: "info",
        message: gemmGflops === undefined
          ? "the CPU's GEMM rate could not be measured"
          : `CPU: ${gemmGflops.toFixed(0)} GFLOPS in f32 matrix products`,
      });
    }
    const environment = await environmentOf(this.#parts.plan, {
      argv: this.#parts.options.argv ?? [],
      ...(this.#parts.git === undefined ? {} : { git: this.#parts.git }),
      engine: this.#engine!,
      ...(gemmGflops === undefined ? {} : { gemmGflops }),
    });
    return `${JSON.stringify(environment, null, 1)}\n`;
  }

  #requestOptions() {
    const { signal } = this.#parts.options;
    return {
      ...(signal === undefined ? {} : { signal }),
      onReply: (reply: { type: string }) => this.#onReply(reply),
    };
  }

  #onReply(reply: { type: string; [key: string]: unknown }): void {
    if (reply.type === "progress") {
      this.#parts.emit(reply as unknown as RunEvent);
    }
    if (reply.type === "log") {
      const message = String(reply.message);
      const level = reply.level === "info" ? "info" : "debug";
      this.#parts.write(`engine: ${message}`);
      this.#parts.emit({ type: "log", level, message });
    }
  }
}

/** Why a measured cell's record could not be read again; it would be lost, and the run seem well. */
function faultOf(record: CellRecord): string | undefined {
  if (record.metrics === undefined) return undefined;
  try {
    parseCell(JSON.parse(JSON.stringify(record)), "the cell's record");
    return undefined;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.message;
  }
}
