// The files of a run. A cell's file is the only truth; everything else is
// rebuilt from cells. Files appear whole or not at all.

import { dirname, join } from "node:path";
import { InputError } from "../base/errors.ts";
import { FORESEEN } from "../evaluation/memory_budget.ts";
import type { PlannedCell } from "./plan.ts";
import { type CellRecord, SCHEMA_VERSION } from "./record.ts";

/** Paths of a run folder. */
export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  cellPath(cell: string): string {
    return join(this.path, "cells", `${cell}.json`);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Makes the folder and cells/. */
  async create(): Promise<void> {
    await Deno.mkdir(join(this.path, "cells"), { recursive: true });
  }

  /**
   * Refuses a folder that holds another experiment's run, or empties it.
   *
   * @param experimentText This run's experiment.yaml.
   * @param replace Whether to remove the other run's cells instead of refusing.
   * @throws {InputError} If the folder has another one.
   */
  async claim(experimentText: string, replace: boolean): Promise<void> {
    const present = await readIfPresent(this.file("experiment.yaml"));
    if (present === undefined || present === experimentText) return;
    if (!replace) {
      throw new InputError(
        `Cannot run in ${this.path} as it holds the run of another experiment (its experiment.yaml differs); give another --out, or --force to replace it`,
      );
    }
    await Deno.remove(this.file("cells"), { recursive: true });
  }

  /** A recorded cell; undefined if there is none or its file is damaged. */
  async readCell(cell: string): Promise<CellRecord | undefined> {
    const text = await readIfPresent(this.cellPath(cell));
    if (text === undefined) return undefined;
    try {
      const record = JSON.parse(text) as CellRecord;
      return record.schemaVersion === SCHEMA_VERSION && record.cell === cell &&
          (record.status !== "ok" || record.metrics !== undefined)
        ? record
        : undefined;
    } catch {
      return undefined;
    }
  }

  /** The recorded cells of a plan, in its order. */
  async readCells(cells: readonly PlannedCell[]): Promise<CellRecord[]> {
    const records = await Promise.all(
      cells.map(({ cell }) => this.readCell(cell)),
    );
    return records.filter((record) => record !== undefined);
  }

  async writeCell(record: CellRecord): Promise<void> {
    await writeAtomically(
      this.cellPath(record.cell),
      `${JSON.stringify(record, null, 1)}\n`,
    );
  }
}

/** Whether a record needs no more work: measured, or out of a stated budget by arithmetic. */
export function isResult(record: CellRecord): boolean {
  return record.status === "ok" ||
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
  const temporary = `${path}.${Deno.pid}.tmp`;
  {
    using file = await Deno.open(temporary, {
      write: true,
      create: true,
      truncate: true,
    });
    const bytes = new TextEncoder().encode(text);
    let written = 0;
    while (written < bytes.length) {
      written += await file.write(bytes.subarray(written));
    }
    await file.sync();
  }
  await Deno.rename(temporary, path);
  // The rename itself is durable once the folder is.
  using folder = await Deno.open(dirname(path), { read: true });
  await folder.sync().catch(() => {});
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
