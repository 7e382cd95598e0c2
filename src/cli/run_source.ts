// Finds the run that a user means: a folder, a results.jsonl, the name of a
// published one, the id of one's own.

import { basename, join } from "node:path";
import { InputError } from "../base/errors.ts";
import type { CellRecord } from "../experiment/record.ts";
import { parseCellText } from "../experiment/record_schema.ts";
import type { ComparedRun } from "../report/compare.ts";
import { loadRuns } from "../report/mod.ts";
import { nearestName } from "../text/nearest_name.ts";
import { kindOf } from "./path_kind.ts";

/** Runs that a repository keeps. */
export const PUBLISHED_FOLDER = join("results", "published");

/** Runs of this working tree. */
export const RUNS_FOLDER = join("results", "runs");

/** Runs that were made again. */
export const REPRODUCTIONS_FOLDER = join("results", "reproductions");

/** Files of which a run folder has at least one. */
const RUN_FILES = ["results.jsonl", "plan.json", "cells"];

/**
 * The path of a run.
 *
 * @param name A folder or file, also relative to where the task was started; NAME of results/published or results/runs; a run's id.
 * @throws {InputError} If there is none of that name, or several.
 */
export async function locateRun(name: string): Promise<string> {
  const started = Deno.env.get("INIT_CWD");
  const paths = [
    name,
    ...(started === undefined ? [] : [join(started, name)]),
    join(PUBLISHED_FOLDER, name),
    join(RUNS_FOLDER, name),
    ...await idPaths(name),
  ];
  for (const path of paths) {
    const kind = await kindOf(path);
    if (kind === "file") return path;
    if (kind !== "folder") continue;
    if (await isRunFolder(path)) return path;
    const inside = await runFolders(path);
    if (inside.length === 1) return inside[0]!;
    if (inside.length > 1) {
      throw new InputError(
        `Cannot take ${path} as it holds ${inside.length} runs: name one of ${
          inside.map((run) => basename(run)).join(", ")
        }`,
      );
    }
  }
  for (const path of paths) {
    if (await kindOf(path) === "folder") {
      throw new InputError(
        `Cannot read run folder ${path} as it must hold one of ${
          RUN_FILES.join(", ")
        }: none found`,
      );
    }
  }
  const known = [
    ...await namesIn(PUBLISHED_FOLDER),
    ...await namesIn(RUNS_FOLDER),
  ];
  const meant = nearestName(basename(name), known);
  throw new InputError(
    `Cannot find run ${name}${
      meant === undefined ? "" : ` (did you mean "${meant}"?)`
    }; allowed: a run folder, a results.jsonl, or one of ${
      [...new Set(known)].join(", ") || "results/published, which has none"
    }`,
  );
}

/**
 * Reads a run to compare.
 *
 * @param name As for locateRun().
 * @param warn Is told of cells that could not be read.
 * @throws {InputError} If there is no such run, or it has no readable record.
 */
export async function readRun(
  name: string,
  warn: (message: string) => void,
): Promise<ComparedRun> {
  const path = await locateRun(name);
  if (await kindOf(path) === "file") return await readLines(path);
  const { cells, environments, experiment, problems } = await loadRuns([path]);
  problems.forEach(warn);
  const environment = environments[0];
  return {
    name: path,
    cells,
    experiment,
    ...(environment === undefined ? {} : { environment }),
  };
}

async function readLines(path: string): Promise<ComparedRun> {
  const cells: CellRecord[] = [];
  const lines = (await Deno.readTextFile(path)).split("\n");
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const where = `${path}:${index + 1}`;
    cells.push(parseCellText(line, where));
  }
  if (cells.length === 0) {
    throw new InputError(`Cannot read ${path} as it holds no record`);
  }
  return { name: path, cells };
}

/** Whether a folder holds a run. */
export async function isRunFolder(path: string): Promise<boolean> {
  for (const file of RUN_FILES) {
    if (await kindOf(join(path, file)) !== undefined) return true;
  }
  return false;
}

/** Run folders directly in a folder, sorted. */
export async function runFolders(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    if (await isRunFolder(path)) found.push(path);
  }
  return found;
}

async function idPaths(id: string): Promise<string[]> {
  if (!/^[0-9a-f]{16}$/.test(id)) return [];
  return (await namesIn(RUNS_FOLDER)).map((name) =>
    join(RUNS_FOLDER, name, id)
  );
}

/** Folders in a folder, sorted; none where it does not exist. */
export async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.isDirectory && !entry.name.startsWith(".")) {
        names.push(entry.name);
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}
