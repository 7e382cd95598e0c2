// Which cell is next, where several processes measure one run in one folder:
// each cell is claimed by one of them, and goes back when that one dies.

import { type FileLock, tryFileLock } from "../base/file_lock.ts";
import type { PlannedCell } from "./plan.ts";
import type { CellRecord } from "./record.ts";
import { namingPath, type RunFolder } from "./run_folder.ts";

/** A cell to measure, and what was recorded of it when the run began. */
export interface PendingCell {
  readonly cell: PlannedCell;
  readonly known?: CellRecord;
}

/** A cell that is this process's alone until it is released. */
export interface ClaimedCell {
  readonly cell: PlannedCell;
  /** In the list that the queue was made of. */
  readonly index: number;
  release(): Promise<void>;
}

/** What the queue tells. */
export interface QueueEvents {
  readonly signal?: AbortSignal;
  /** Another process has measured the cell. */
  elsewhere(record: CellRecord, cell: PlannedCell): void;
  /** All cells that are left are being measured by other processes. */
  waiting(cells: readonly PlannedCell[]): void;
}

/** Milliseconds between looks at what other processes do. */
const WAIT_MS = 300;

/** Hands out cells in order. */
export class CellQueue {
  readonly #folder: RunFolder;
  readonly #events: QueueEvents;
  #left: (PendingCell & { readonly index: number })[];
  #saidWaiting = false;

  constructor(
    folder: RunFolder,
    pending: readonly PendingCell[],
    events: QueueEvents,
  ) {
    this.#folder = folder;
    this.#events = events;
    this.#left = pending.map((entry, index) => ({ ...entry, index }));
  }

  /** Cells that nobody has measured yet, claimed ones of this process apart. */
  get size(): number {
    return this.#left.length;
  }

  /**
   * Claims the next cell; waits where others have all that are left, since one
   * of them may die.
   *
   * @returns Undefined where none is left, or the signal is aborted.
   */
  async next(): Promise<ClaimedCell | undefined> {
    while (this.#left.length > 0 && !this.#events.signal?.aborted) {
      // First of variants that nobody else is at: each converts for itself.
      const claimed = await this.#claim(true) ?? await this.#claim(false);
      if (claimed !== undefined) return claimed;
      if (this.#left.length === 0) break;
      if (!this.#saidWaiting) {
        this.#saidWaiting = true;
        this.#events.waiting(this.#left.map(({ cell }) => cell));
      }
      await new Promise((done) => setTimeout(done, WAIT_MS));
    }
    return undefined;
  }

  async #claim(wholeVariants: boolean): Promise<ClaimedCell | undefined> {
    const busy = new Set<string>();
    for (const entry of [...this.#left]) {
      const { cell, index } = entry;
      if (wholeVariants && busy.has(cell.variantLabel)) continue;
      const path = this.#folder.claimPath(cell.cell);
      const lock = await namingPath("write", path, () => tryFileLock(path));
      if (lock === undefined) {
        busy.add(cell.variantLabel);
        continue;
      }
      this.#left = this.#left.filter((other) => other !== entry);
      if (await this.#isDoneElsewhere(entry, lock)) continue;
      return { cell, index, release: () => lock.release() };
    }
    return undefined;
  }

  /** A record that was not there when the run began is another process's. */
  async #isDoneElsewhere(
    { cell, known }: PendingCell,
    lock: FileLock,
  ): Promise<boolean> {
    const record = await this.#folder.readCell(cell.cell);
    if (record === undefined || record.startedAt === known?.startedAt) {
      return false;
    }
    await lock.release();
    this.#events.elsewhere(record, cell);
    return true;
  }
}
