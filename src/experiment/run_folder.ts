// The files of a run. A cell's file is the only truth; everything else is
// rebuilt from cells. Files appear whole or not at all.

import { dirname, join } from "node:path";
import { DiskFullError, InputError } from "../base/errors.ts";
import { fileLock, tryFileLock } from "../base/file_lock.ts";
import { systemReason } from "../base/system_reason.ts";
import { FORESEEN } from "../evaluation/memory_budget.ts";
import { type Check, toCsv, toJsonLines } from "./assemble.ts";
import type { Plan, PlannedCell } from "./plan.ts";
import type { CellRecord } from "./record.ts";
import { writtenIdentity } from "./run_identity.ts";
import { parseCellText } from "./record_schema.ts";
import type { Experiment } from "./schema.ts";
import { stagesOf } from "./stages.ts";
import { isUntimed } from "./untimed.ts";

/** Paths of a run folder. */
export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  cellPath(cell: string): string {
    return join(this.path, "cells", `${cell}.json`);
  }

  /** The lock of a cell that is being measured. */
  claimPath(cell: string): string {
    return join(this.path, "claims", cell);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Makes the folder, cells/ and claims/, and removes what killed processes have left. */
  async create(): Promise<void> {
    for (const name of ["cells", "claims"]) {
      const path = join(this.path, name);
      await namingPath(
        "write",
        path,
        () => Deno.mkdir(path, { recursive: true }),
      );
    }
    await this.#removeLeftovers();
  }

  /**
   * Does something while no other process does such a thing in this folder.
   *
   * @param work Reads and writes what is derived from cells.
   */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const path = this.file("run.lock");
    const lock = await namingPath("write", path, () => fileLock(path));
    try {
      return await work();
    } finally {
      await lock.release();
    }
  }

  /** Files that are written under a lock belong to nobody where the lock is free. */
  async #removeLeftovers(): Promise<void> {
    await this.exclusively(() => removeTemporaries(this.path, () => true));
    const cells = join(this.path, "cells");
    const left = new Set<string>();
    for await (const { name } of Deno.readDir(join(this.path, "claims"))) {
      left.add(name);
    }
    for await (const { name } of Deno.readDir(cells)) {
      const [cell] = name.split(".json.");
      if (name.endsWith(".tmp") && cell !== undefined) left.add(cell);
    }
    for (const cell of left) {
      const path = this.claimPath(cell);
      const lock = await namingPath("write", path, () => tryFileLock(path));
      if (lock === undefined) continue;
      await removeTemporaries(
        cells,
        (name) => name.startsWith(`${cell}.json.`),
      );
      await lock.release();
    }
  }

  /**
   * Refuses a folder that holds another experiment's run; one that is told,
   * checked or waited for in another way is the same. Nothing is removed: the
   * new plan.json says which cells count.
   *
   * @param experimentText This run's experiment.yaml.
   * @param replace Whether the other run may be replaced.
   * @throws {InputError} If the folder has another one.
   */
  async claim(experimentText: string, replace: boolean): Promise<void> {
    const present = await readIfPresent(this.file("experiment.yaml"));
    if (present === undefined || present === experimentText) return;
    if (replace) return;
    const identity = writtenIdentity(present);
    if (
      identity !== undefined && identity === writtenIdentity(experimentText)
    ) {
      return;
    }
    throw new InputError(
      `Cannot run in ${this.path} as it holds the run of another experiment (what its experiment.yaml measures differs); give another --out, or --force to replace it`,
    );
  }

  /**
   * A recorded cell; undefined if there is none or its file is damaged.
   *
   * @param cell Its id.
   * @param warn Is told of a damaged file.
   */
  async readCell(
    cell: string,
    warn: (message: string) => void = () => {},
  ): Promise<CellRecord | undefined> {
    const path = this.cellPath(cell);
    const text = await readIfPresent(path);
    if (text === undefined) return undefined;
    try {
      const record = parseCellText(text, path);
      if (record.cell === cell) return record;
      warn(`Cannot use ${path} as it holds cell ${record.cell}`);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      warn(error.message);
    }
    return undefined;
  }

  /** The recorded cells of a plan, in its order. */
  async readCells(cells: readonly PlannedCell[]): Promise<CellRecord[]> {
    const records = await Promise.all(
      cells.map(({ cell }) => this.readCell(cell)),
    );
    return records.filter((record) => record !== undefined);
  }

  /**
   * Gives recorded cells the names that a plan has for them. A cell's id
   * guarantees its numbers alone: another experiment may have measured it.
   *
   * @param plan The run's.
   */
  async adopt({ cells, runId, experiment }: Plan): Promise<void> {
    for (const planned of cells) {
      const record = await this.readCell(planned.cell);
      if (record === undefined) continue;
      const adopted = {
        ...record,
        ...namesOf(planned, experiment.name, runId),
      } as CellRecord;
      // JSON leaves out what is undefined.
      if (JSON.stringify(adopted) === JSON.stringify(record)) continue;
      const claim = this.claimPath(planned.cell);
      const lock = await namingPath("write", claim, () => tryFileLock(claim));
      // Whoever is measuring it writes it under names of its own.
      if (lock === undefined) continue;
      try {
        await this.writeCell(adopted);
      } finally {
        await lock.release();
      }
    }
  }

  /**
   * Says what the run is of: from now on only these cells count.
   *
   * @param experimentText This run's experiment.yaml.
   * @param cells All of the plan.
   * @param warn Is told of a plan.json that was damaged.
   */
  async writePlan(
    experimentText: string,
    cells: readonly PlannedCell[],
    warn: (message: string) => void = () => {},
  ): Promise<void> {
    const lines = cells.map((
      { cell, variantLabel, calibrationSeed, variantGroup, ...target },
    ) => ({
      cell,
      variantLabel,
      calibrationSeed,
      variantGroup,
      measure: target.measure,
      contextTokens: target.contextTokens,
      load: target.load,
    }));
    const path = this.file("plan.json");
    const present = await readIfPresent(path);
    if (present !== undefined && !isPlan(present)) {
      warn(`Cannot read ${path} as it is damaged; written again`);
    }
    await writeAtomically(this.file("experiment.yaml"), experimentText);
    await writeAtomically(path, `${JSON.stringify(lines, null, 1)}\n`);
  }

  /** Writes what is derived from the cells. */
  async writeResults(
    { records, checks }: {
      readonly records: readonly CellRecord[];
      readonly checks: readonly Check[];
    },
    experiment: Experiment,
  ): Promise<void> {
    for (
      const [name, text] of [
        ["results.jsonl", toJsonLines(records)],
        ["results.csv", toCsv(records, experiment)],
        ["checks.json", `${JSON.stringify(checks, null, 1)}\n`],
        [
          "stages.json",
          `${JSON.stringify(stagesOf(records) ?? null, null, 1)}\n`,
        ],
      ] as const
    ) {
      await writeAtomically(this.file(name), text);
    }
  }

  async writeCell(record: CellRecord): Promise<void> {
    await writeAtomically(
      this.cellPath(record.cell),
      `${JSON.stringify(record, null, 1)}\n`,
    );
  }
}

/** Fields of a record that its cell's id does not guarantee. */
function namesOf(
  { variantLabel, calibrationSeed, variantGroup, load }: PlannedCell,
  experiment: string,
  runId: string,
): Partial<CellRecord> {
  return {
    experiment,
    runId,
    variantLabel,
    calibrationSeed,
    variantGroup,
    load,
  } as Partial<CellRecord>;
}

function isPlan(text: string): boolean {
  try {
    const cells = JSON.parse(text);
    return Array.isArray(cells) &&
      cells.every((cell) => typeof cell?.cell === "string");
  } catch {
    return false;
  }
}

async function removeTemporaries(
  folder: string,
  matches: (name: string) => boolean,
): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".tmp") || !matches(name)) continue;
    // Another process may have been quicker.
    await Deno.remove(join(folder, name)).catch(() => {});
  }
}

/** Whether a record needs no more work: measured, out of a stated budget by arithmetic, or not to be timed. */
export function isResult(record: CellRecord): boolean {
  return record.status === "ok" || isUntimed(record) ||
    (record.status === "oom" && record.error?.startsWith(FORESEEN) === true);
}

/**
 * Writes a file so that readers see the old content or the new, never a part.
 *
 * @param path The file; its folder must exist.
 * @param text The content.
 */
export async function writeAtomically(
  path: string,
  text: string,
): Promise<void> {
  // Processes in several containers may have one id and write to one folder.
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  await namingPath("write", path, async () => {
    try {
      await writeAndSync(temporary, text);
      await Deno.rename(temporary, path);
    } catch (error) {
      await Deno.remove(temporary).catch(() => {});
      throw error;
    }
    // The rename itself is durable once the folder is.
    using folder = await Deno.open(dirname(path), { read: true });
    await folder.sync().catch(() => {});
  });
}

async function writeAndSync(path: string, text: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const bytes = new TextEncoder().encode(text);
  let written = 0;
  while (written < bytes.length) {
    written += await file.write(bytes.subarray(written));
  }
  await file.sync();
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await namingPath("read", path, () => Deno.readTextFile(path));
  } catch (error) {
    const { cause } = error as Error;
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Does something with a file, and says which file where the system refuses.
 *
 * @param verb What is done, for the error.
 * @param path The file.
 * @param work Does it.
 * @throws {InputError} If another path would help: it is a file, or may not be written.
 * @throws {DiskFullError} If there is no space.
 */
export async function namingPath<T>(
  verb: "read" | "write",
  path: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const reason = systemReason(cause);
    const message = `Cannot ${verb} ${path}: ${reason}`;
    if (FULL.test(reason)) {
      throw new DiskFullError(
        `${message}; nothing that was measured is lost: free space there`,
        { cause },
      );
    }
    throw MENDABLE.test(reason)
      ? new InputError(message, { cause })
      : new Error(message, { cause });
  }
}

const FULL = /no space left|quota exceeded|file too large|ENOSPC|EDQUOT|EFBIG/i;

const MENDABLE =
  /not a directory|is a directory|file exists|permission denied|not permitted|read-only|requires .* access/i;
