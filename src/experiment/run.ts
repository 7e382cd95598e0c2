// Runs a plan: one engine process at a time, one file a cell, results rebuilt
// from the files. A killed run goes on at its first missing cell; several
// processes may run one plan in one folder, each cell is measured by one of them.

import { stringify } from "yaml";
import { type Check, evaluateChecks, withDeltas } from "./assemble.ts";
import { CellEngine } from "./cell_engine.ts";
import { CellQueue, type ClaimedCell, type PendingCell } from "./cell_queue.ts";
import { Exhaustion } from "./exhaustion.ts";
import { groupLabel } from "./label.ts";
import type { Plan, PlannedCell } from "./plan.ts";
import { gitState } from "./provenance.ts";
import type { CellRecord } from "./record.ts";
import { isResult, namingPath, RunFolder } from "./run_folder.ts";
import {
  checkRunOptions,
  runDirectory,
  type RunEvent,
  type RunOptions,
  type RunResult,
  selectCells,
} from "./run_options.ts";
import { shardLine } from "./shard_owed.ts";
import { loadText } from "./throughput_measure.ts";
import { WorkerInterrupted } from "./worker_client.ts";

/**
 * Runs a plan, or what is left of it.
 *
 * @param plan Of planExperiment().
 * @param options How to run.
 * @throws {InputError} If the folder holds another run, a selection selects nothing, or the engine cannot be had.
 * @throws {DiskFullError} If there is no space; what was measured is kept.
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
    const claim = () =>
      this.#folder.claim(experimentText, this.#options.force ?? false);
    await claim();
    await this.#folder.create();
    const log = this.#folder.file("run.log");
    this.#log = await namingPath(
      "write",
      log,
      () => Deno.open(log, { create: true, append: true }),
    );
    let engine: CellEngine | undefined;
    let interrupted = false;
    try {
      this.#write(
        `run ${this.#plan.runId}: ${(this.#options.argv ?? []).join(" ")}`,
      );
      const git = await gitState();
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
      const later = new Set(
        pending.slice(now.length).map(({ cell }) => cell),
      );
      const due = selected.filter((cell) => !later.has(cell));
      engine = new CellEngine({
        plan: this.#plan,
        options: this.#options,
        folder: this.#folder,
        ...(git === undefined ? {} : { git }),
        write: (line) => this.#write(line),
        emit: (event) => this.#emit(event),
      });
      // An engine that cannot be had replaces nothing.
      if (now.length > 0) interrupted = await engine.open();
      if (interrupted) return await this.#result(selected, due, true);
      await this.#folder.exclusively(async () => {
        // Another process may have begun another experiment meanwhile.
        await claim();
        await this.#folder.writePlan(
          experimentText,
          this.#plan.cells,
          (message) => this.#say(message),
        );
        await this.#folder.adopt(this.#plan);
        await engine?.writeEnvironment();
      });
      let failure: { readonly error: unknown } | undefined;
      try {
        interrupted = await this.#measure(engine, now);
      } catch (error) {
        failure = { error };
      }
      // The last of several processes reads what all others have written.
      const result = await this.#folder.exclusively(async () => {
        const result = await this.#result(selected, due, interrupted);
        try {
          // No results of this plan beside another's experiment.yaml.
          await this.#folder.claim(experimentText, false);
          await this.#folder.writeResults(result, experiment);
        } catch (error) {
          failure ??= { error };
        }
        return result;
      });
      if (failure !== undefined) throw failure.error;
      if (selected.length > 0) this.#sayOwed(result);
      this.#write(`end: ${JSON.stringify(result.counts)}`);
      return result;
    } finally {
      if (interrupted) engine?.kill();
      await engine?.close();
      this.#log.close();
    }
  }

  async #pending(selected: readonly PlannedCell[]): Promise<PendingCell[]> {
    const pending: PendingCell[] = [];
    for (const cell of selected) {
      const known = await this.#folder.readCell(
        cell.cell,
        (message) => this.#say(`${message}; measuring again`),
      );
      if (known === undefined) pending.push({ cell });
      else if (this.#options.force || !isResult(known)) {
        pending.push({ cell, known });
      }
    }
    return pending;
  }

  /** Whether it was interrupted. */
  async #measure(
    engine: CellEngine,
    pending: readonly PendingCell[],
  ): Promise<boolean> {
    const { signal, failFast } = this.#options;
    const exhausted = new Exhaustion();
    let elsewhere = 0;
    const { throughput } = this.#plan.experiment.measure;
    // A longer context may have fewer requests at once.
    const mayShrink = throughput?.requests?.countAt !== undefined;
    const take = (record: CellRecord, cell: PlannedCell) => {
      if (record.status !== "oom") return;
      const foreseen = isResult(record);
      if (!(foreseen && mayShrink)) exhausted.add(cell, foreseen);
    };
    const queue = new CellQueue(this.#folder, pending, {
      ...(signal === undefined ? {} : { signal }),
      elsewhere: (record, cell) => {
        elsewhere++;
        take(record, cell);
      },
      waiting: (cells) =>
        this.#say(
          `waiting for ${cells.length} ${
            cells.length === 1 ? "cell" : "cells"
          } that another process on this folder is measuring`,
        ),
    });
    for (
      let claimed = await queue.next();
      claimed !== undefined;
      claimed = await queue.next()
    ) {
      try {
        const record = await this.#measureClaimed(
          engine,
          claimed,
          pending.length,
          exhausted,
        );
        if (record === undefined) return true;
        take(record, claimed.cell);
        if (failFast && !isResult(record)) return false;
      } finally {
        await claimed.release();
      }
    }
    if (elsewhere > 0) {
      this.#say(
        `${elsewhere} of the cells were measured by another process on this folder`,
      );
    }
    return queue.size > 0 && (signal?.aborted ?? false);
  }

  /** Undefined where it was interrupted. */
  async #measureClaimed(
    engine: CellEngine,
    { cell, index }: ClaimedCell,
    total: number,
    exhausted: Exhaustion,
  ): Promise<CellRecord | undefined> {
    this.#emit({ type: "cellStart", index, total, cell });
    const untried = exhausted.untried(cell);
    let record: CellRecord;
    try {
      record = untried === undefined
        ? await engine.measure(cell)
        : engine.record(cell, new Date(), untried);
    } catch (error) {
      if (error instanceof WorkerInterrupted) return undefined;
      throw error;
    }
    await this.#folder.writeCell(record);
    this.#emit({ type: "cellEnd", index, total, record });
    this.#write(
      `${record.status} ${cell.variantLabel} ${cell.measure} ${
        cell.contextTokens ?? ""
      } ${cell.load === undefined ? "" : loadText(cell.load)} ${
        record.error ?? ""
      }`.replaceAll(/ {2,}/g, " "),
    );
    return record;
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
    const ids = new Set(due.map(({ cell }) => cell));
    const all = records.length === cells.length;
    const checks = evaluateChecks(
      this.#plan,
      records,
      all ? new Set(cells.map(({ cell }) => cell)) : ids,
    );
    const ownChecks = this.#ownChecks(selected, ids, records);
    const counts = { ok: 0, failed: 0, oom: 0, timeout: 0, skipped: 0 };
    for (const { status } of records) counts[status]++;
    const own = new Set(selected.map(({ cell }) => cell));
    const good =
      records.every((record) => !own.has(record.cell) || isResult(record)) &&
      ownChecks.every(({ ok }) => ok);
    return {
      runDir: this.#folder.path,
      records,
      checks,
      ownChecks,
      missing: cells.length - records.length,
      counts,
      interrupted,
      exitCode: interrupted ? 130 : good ? 0 : 1,
    };
  }

  /**
   * Checks of this call's cells alone. A difference to a baseline that another
   * shard has yet to measure is that shard's debt.
   */
  #ownChecks(
    selected: readonly PlannedCell[],
    due: ReadonlySet<string>,
    records: readonly CellRecord[],
  ): Check[] {
    const own = new Set(selected.map(({ cell }) => cell));
    const { baselineLabel } = this.#plan;
    const owed = this.#plan.cells.some((planned) =>
      groupLabel(planned) === baselineLabel && !own.has(planned.cell) &&
      !records.some(({ cell }) => cell === planned.cell)
    );
    const measured = new Set(
      records.filter(({ status }) => status === "ok").map(({ cell }) => cell),
    );
    return evaluateChecks(
      { ...this.#plan, cells: selected },
      records,
      owed ? due.difference(measured) : due,
    );
  }

  #sayOwed({ records, interrupted }: RunResult): void {
    const { only, shard } = this.#options;
    if (shard === undefined || interrupted) return;
    this.#say(
      shardLine(this.#plan.cells, records, {
        shard,
        ...(only === undefined ? {} : { only }),
      }),
    );
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
