// Runs a plan: one engine process at a time, one file a cell, results rebuilt
// from the files. A killed run goes on at its first missing cell.

import { join } from "node:path";
import { stringify } from "yaml";
import { InputError } from "../base/errors.ts";
import { cacheFolder } from "../checkpoint/cache_folder.ts";
import type { EngineDescription } from "../engine/engine.ts";
import { Exhaustion } from "./exhaustion.ts";
import { evaluateChecks, withDeltas } from "./assemble.ts";
import { cellRecord, type Outcome } from "./cell_record.ts";
import type { Plan, PlannedCell } from "./plan.ts";
import { environmentOf, type GitState, gitState } from "./provenance.ts";
import type { CellRecord, CellStatus } from "./record.ts";
import {
  isResult,
  namingPath,
  RunFolder,
  writeAtomically,
} from "./run_folder.ts";
import {
  checkRunOptions,
  type EngineProcess,
  runDirectory,
  type RunEvent,
  type RunOptions,
  type RunResult,
  selectCells,
} from "./run_options.ts";
import {
  WorkerClient,
  WorkerDeath,
  WorkerInterrupted,
  WorkerTimeout,
} from "./worker_client.ts";

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

class Run {
  readonly #plan: Plan;
  readonly #options: RunOptions;
  readonly #folder: RunFolder;
  #worker: EngineProcess | undefined;
  #engine: EngineDescription | undefined;
  #git: GitState | undefined;
  #environmentWritten = false;
  /** Of engine processes that no record has yet. */
  #startSeconds = 0;
  #log: Deno.FsFile | undefined;

  constructor(plan: Plan, options: RunOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#folder = new RunFolder(runDirectory(plan, options.out));
  }

  async all(): Promise<RunResult> {
    const { experiment } = this.#plan;
    checkRunOptions(this.#options);
    const selected = selectCells(this.#plan.cells, this.#options);
    const experimentText = stringify(experiment, { lineWidth: 100 });
    await this.#folder.claim(experimentText, this.#options.force ?? false);
    await this.#folder.create();
    const log = this.#folder.file("run.log");
    this.#log = await namingPath(
      "write",
      log,
      () => Deno.open(log, { create: true, append: true }),
    );
    let interrupted = false;
    try {
      this.#write(
        `run ${this.#plan.runId}: ${(this.#options.argv ?? []).join(" ")}`,
      );
      this.#git = await gitState();
      if (selected.length === 0) {
        this.#say(`shard ${this.#options.shard} is empty: nothing to measure`);
      }
      const pending = await this.#pending(selected);
      this.#emit({
        type: "start",
        runDir: this.#folder.path,
        cells: selected.length,
        present: selected.length - pending.length,
      });
      const now = pending.slice(0, this.#options.limit ?? pending.length);
      const later = new Set(pending.slice(now.length));
      const due = selected.filter((cell) => !later.has(cell));
      // An engine that cannot be had replaces nothing.
      if (now.length > 0) interrupted = await this.#openFirst();
      if (interrupted) return await this.#result(selected, due, true);
      await this.#folder.writePlan(experimentText, this.#plan.cells);
      let failure: { readonly error: unknown } | undefined;
      try {
        interrupted = await this.#measure(now);
      } catch (error) {
        failure = { error };
      }
      const result = await this.#result(selected, due, interrupted);
      try {
        await this.#folder.writeResults(result, experiment);
      } catch (error) {
        failure ??= { error };
      }
      if (failure !== undefined) throw failure.error;
      this.#write(`end: ${JSON.stringify(result.counts)}`);
      return result;
    } finally {
      if (interrupted) this.#worker?.kill();
      await this.#worker?.close();
      this.#log.close();
    }
  }

  /** Whether it was interrupted. A death is left to the first cell, which records it. */
  async #openFirst(): Promise<boolean> {
    try {
      await this.#openWorker(this.#timeoutSeconds);
    } catch (error) {
      if (error instanceof WorkerInterrupted) return true;
      if (error instanceof WorkerDeath || error instanceof WorkerTimeout) {
        return false;
      }
      throw error;
    }
    return false;
  }

  async #pending(selected: readonly PlannedCell[]): Promise<PlannedCell[]> {
    if (this.#options.force) return [...selected];
    const pending: PlannedCell[] = [];
    for (const cell of selected) {
      const record = await this.#folder.readCell(
        cell.cell,
        (message) => this.#say(`${message}; measuring again`),
      );
      if (record === undefined || !isResult(record)) pending.push(cell);
    }
    return pending;
  }

  /** Whether it was interrupted. */
  async #measure(pending: readonly PlannedCell[]): Promise<boolean> {
    const exhausted = new Exhaustion();
    for (const [index, cell] of pending.entries()) {
      if (this.#options.signal?.aborted) return true;
      this.#emit({ type: "cellStart", index, total: pending.length, cell });
      const reason = exhausted.reason(cell);
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
      if (record.status === "oom" && !isResult(record)) exhausted.add(cell);
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

  get #timeoutSeconds(): number {
    return this.#options.timeoutSeconds ?? this.#plan.experiment.timeoutSeconds;
  }

  async #measureCell(cell: PlannedCell): Promise<CellRecord> {
    const started = new Date();
    let clock = performance.now();
    const seconds = () => (performance.now() - clock) / 1000;
    const timeoutSeconds = this.#timeoutSeconds;
    try {
      const worker = await this.#openWorker(timeoutSeconds);
      clock = performance.now();
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
      // A device that is lost stays lost: the next cell opens another.
      if (outcome.fatal) await this.#endWorker();
      return this.#record(cell, started, outcome);
    } catch (error) {
      let status: CellStatus;
      if (error instanceof WorkerDeath) status = error.status;
      else if (error instanceof WorkerTimeout) status = "timeout";
      // It was to be had before: what has changed since fails this cell.
      else if (error instanceof InputError) status = "failed";
      else throw error;
      await this.#endWorker();
      return this.#record(cell, started, {
        status,
        error: (error as Error).message,
        wallSeconds: seconds(),
      });
    }
  }

  async #endWorker(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.close();
  }

  async #openWorker(timeoutSeconds: number): Promise<EngineProcess> {
    if (this.#worker !== undefined) return this.#worker;
    const clock = performance.now();
    const onStderr = (line: string) => this.#write(`engine: ${line}`);
    const worker = this.#options.startEngine?.(onStderr) ??
      new WorkerClient(onStderr);
    this.#worker = worker;
    this.#emit({ type: "worker", pid: worker.pid });
    try {
      await this.#openEngine(worker, timeoutSeconds);
    } catch (error) {
      // A process that has opened nothing must not be asked for cells.
      await this.#endWorker();
      throw error;
    }
    this.#startSeconds += (performance.now() - clock) / 1000;
    return worker;
  }

  async #openEngine(
    worker: EngineProcess,
    timeoutSeconds: number,
  ): Promise<void> {
    const reply = await worker.request({
      op: "open",
      spec: {
        experiment: this.#plan.experiment,
        files: this.#plan.inputs.files,
        modelSha256: this.#plan.inputs.modelSha256,
        momentsFolder: this.#options.momentsFolder ??
          join(cacheFolder(), "moments"),
      },
    }, { timeoutSeconds, ...this.#requestOptions() });
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
  }

  async #writeEnvironment(worker: EngineProcess): Promise<void> {
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
          ? "the CPU's GEMM rate could not be measured"
          : `CPU: ${gemmGflops.toFixed(0)} GFLOPS in f32 matrix products`,
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

  #record(cell: PlannedCell, started: Date, outcome: Outcome): CellRecord {
    const startSeconds = this.#startSeconds;
    this.#startSeconds = 0;
    return cellRecord(this.#plan, cell, {
      ...outcome,
      started,
      ...(startSeconds === 0 ? {} : { startSeconds }),
      ...(this.#engine === undefined ? {} : { engine: this.#engine }),
      ...(this.#git === undefined ? {} : { commit: this.#git.commit }),
    });
  }

  async #result(
    selected: readonly PlannedCell[],
    due: readonly PlannedCell[],
    interrupted: boolean,
  ): Promise<RunResult> {
    const { cells, baselineLabel } = this.#plan;
    const records = withDeltas(
      await this.#folder.readCells(cells),
      baselineLabel,
    );
    const checks = evaluateChecks(
      this.#plan,
      records,
      new Set(due.map(({ cell }) => cell)),
    );
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

  #say(message: string): void {
    this.#write(message);
    this.#emit({ type: "log", level: "info", message });
  }

  #emit(event: RunEvent): void {
    this.#options.onEvent?.(event);
  }

  #write(line: string): void {
    try {
      this.#log?.writeSync(
        new TextEncoder().encode(`${new Date().toISOString()} ${line}\n`),
      );
    } catch {
      // On a full disk the next cell's file says so, with its path.
    }
  }
}
