// Reads run folders. Cells are the only truth; everything that a report shows
// is derived from them. A published folder has no cells/, there results.jsonl
// holds the same records.

import { InputError } from "../base/errors.ts";
import { oneLine as shortLine } from "../base/excerpt.ts";
import type { Check } from "../experiment/assemble.ts";
import type { CellRecord } from "../experiment/record.ts";
import { parsePlainYaml } from "../experiment/plain_yaml.ts";
import { parseCellText } from "../experiment/record_schema.ts";
import { isResult } from "../experiment/run_folder.ts";
import { cellFileNames, readRunText } from "../experiment/run_text.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import { type DecodePeers, parseDecodePeers } from "./decode_peers.ts";
import { parseChecks, parsePlan, type PlannedCell } from "./schema.ts";

/** One or several run folders, read and merged. */
export interface RunData {
  /** Experiment names, without repetition, in order of reading. */
  readonly experiments: readonly string[];
  readonly runIds: readonly string[];
  /** In plan order. */
  readonly cells: readonly CellRecord[];
  readonly checks: readonly Check[];
  /** environment.json of each folder that has one. */
  readonly environments: readonly Readonly<Record<string, unknown>>[];
  /** The first folder's experiment.yaml, as text and parsed. */
  readonly experimentText?: string;
  readonly experiment: Readonly<Record<string, unknown>>;
  /** Cells that a recorded plan names and no folder holds. */
  readonly missing: readonly PlannedCell[];
  /** Cell files that could not be read, one line each. */
  readonly problems: readonly string[];
  readonly folders: readonly Folder[];
  /** Recorded cells that stand back for another of the same variant, measure and context. */
  readonly superseded: number;
  /** What `bench decode` found on the same GPU, where a folder holds it as peers.json. */
  readonly peers?: DecodePeers;
  /** Runs that are shown side by side in this one; absent for a single run. */
  readonly parts?: readonly NamedRun[];
}

/** One of the folders that were read. */
export interface Folder {
  readonly directory: string;
  /** Of environment.json. */
  readonly environment?: Readonly<Record<string, unknown>>;
  /** Ids of the cells that are shown from it. */
  readonly cells: ReadonlySet<string>;
}

/** A run with the name that it is compared under. */
export interface NamedRun {
  readonly name: string;
  readonly run: RunData;
}

/**
 * Reads one or many folders of one run: shards of a sweep, or the same run again.
 *
 * A variant's measure at a context is shown once, whatever folders and cell ids
 * it is recorded under: one that ended well before one that needs no more work
 * (out of a stated budget), before any other, then the latest. A broken cell file does not hide the others; it
 * becomes a line of `problems`. Where a folder has a plan, its other cells are
 * of an earlier one, and are left out.
 *
 * @param directories Run folders or published folders.
 * @returns All their cells in plan order.
 * @throws {InputError} If a folder does not exist or holds no readable record.
 */
export async function loadRuns(
  directories: readonly string[],
): Promise<RunData> {
  const slots = new Map<string, { record: CellRecord; directory: string }>();
  const planned = new Map<string, PlannedCell>();
  const checks: Check[] = [];
  const environments = new Map<string, Record<string, unknown>>();
  const problems: string[] = [];
  const order: string[] = [];
  const seen = new Set<string>();
  let experimentText: string | undefined;
  let peers: DecodePeers | undefined;

  for (const directory of new Set(directories)) {
    const plan = await readPlan(directory, problems);
    const ids = plan && new Set(plan.map(({ cell }) => cell));
    const listed = (await readLines(directory, problems))
      .filter(({ cell }) => ids?.has(cell) ?? true);
    for (const record of await readCells(directory, listed, ids, problems)) {
      seen.add(`${record.cell} ${record.startedAt}`);
      const slot = fullSlot(record);
      const known = slots.get(slot);
      if (known === undefined || isBetter(record, known.record)) {
        slots.set(slot, { record, directory });
      }
    }
    for (const cell of plan ?? []) planned.set(cell.cell, cell);
    order.push(...listed.map((record) => record.cell));
    checks.push(...await readChecks(directory, problems));
    const environment = await readJson(`${directory}/environment.json`);
    if (isObject(environment)) environments.set(directory, environment);
    experimentText ??= await readRunText(`${directory}/experiment.yaml`);
    peers ??= await readPeers(directory, problems);
  }
  if (slots.size === 0) {
    throw new InputError(
      problems[0] ??
        `Cannot report on ${
          directories.join(", ")
        } as a run folder must hold cells/*.json or results.jsonl: none found`,
    );
  }
  const shown = [...slots.values()];
  const sorted = sortCells(
    shown.map(({ record }) => record),
    planned.size > 0 ? [...planned.keys()] : order,
    [...planned.values()],
  );
  const covered = new Set(sorted.flatMap((cell) => [cell.cell, slotOf(cell)]));
  return {
    experiments: unique(sorted.map((record) => record.experiment)),
    runIds: unique(sorted.map((record) => record.runId)),
    cells: sorted,
    checks: [
      ...new Map(checks.map((check) => [JSON.stringify(check), check]))
        .values(),
    ],
    environments: [...environments.values()],
    ...(experimentText === undefined ? {} : { experimentText }),
    experiment: parseExperiment(experimentText),
    ...(peers === undefined ? {} : { peers }),
    missing: onePerSlot(
      [...planned.values()].filter((cell) =>
        !covered.has(cell.cell) && !covered.has(slotOf(cell))
      ),
    ),
    problems,
    folders: [...new Set(directories)].map((directory) => {
      const environment = environments.get(directory);
      return {
        directory,
        ...(environment === undefined ? {} : { environment }),
        cells: new Set(
          shown.filter((one) => one.directory === directory).map(({ record }) =>
            record.cell
          ),
        ),
      };
    }),
    superseded: seen.size - shown.length,
  };
}

/** A measured cell, then one that needs no more work, then any other; of equals the latest. */
function isBetter(record: CellRecord, known: CellRecord): boolean {
  const rank = (cell: CellRecord) =>
    cell.status === "ok" ? 0 : isResult(cell) ? 1 : 2;
  return rank(record) === rank(known)
    ? record.startedAt > known.startedAt
    : rank(record) < rank(known);
}

/** What a cell is a measurement of; its id also says with which machine and version. */
function slotOf(
  { variantLabel, measure, contextTokens, load }: PlannedCell,
): string {
  return JSON.stringify([
    variantLabel,
    measure,
    contextTokens,
    load === undefined ? "" : loadText(load),
  ]);
}

function fullSlot(record: CellRecord): string {
  const { name, provider, dtype, cacheDtype } = record.engine;
  return JSON.stringify([
    slotOf(record),
    record.experiment,
    record.model.id,
    record.model.sha256,
    // Conversions serve every engine, but each run has one of its own.
    ...record.measure === "conversion"
      ? []
      : [name, provider, dtype, cacheDtype],
  ]);
}

/** Shards on unlike machines plan the same cell under several ids. */
function onePerSlot(cells: readonly PlannedCell[]): PlannedCell[] {
  return [...new Map(cells.map((cell) => [slotOf(cell), cell])).values()];
}

/** Plan order where it is known, then by start. */
function sortCells(
  cells: readonly CellRecord[],
  order: readonly string[],
  planned: readonly PlannedCell[],
): CellRecord[] {
  const place = new Map<string, number>();
  for (const id of order) if (!place.has(id)) place.set(id, place.size);
  for (const [index, cell] of planned.entries()) {
    const slot = slotOf(cell);
    if (!place.has(slot)) place.set(slot, index);
  }
  const placeOf = (cell: CellRecord) =>
    place.get(cell.cell) ?? place.get(slotOf(cell)) ?? Number.MAX_SAFE_INTEGER;
  return [...cells].sort((a, b) =>
    placeOf(a) - placeOf(b) ||
    a.startedAt.localeCompare(b.startedAt) || a.cell.localeCompare(b.cell)
  );
}

async function readCells(
  directory: string,
  listed: readonly CellRecord[],
  ids: ReadonlySet<string> | undefined,
  problems: string[],
): Promise<readonly CellRecord[]> {
  const names = await cellFileNames(directory);
  if (names === undefined) return listed;
  const records: CellRecord[] = [];
  for (const name of names) {
    // Where an input has changed, the cells of the plan before it lie there still.
    if (ids?.has(name.slice(0, -".json".length)) === false) continue;
    const path = `${directory}/cells/${name}`;
    try {
      records.push(parseCellText(await Deno.readTextFile(path), path));
    } catch (error) {
      problems.push(oneLine(error, path));
    }
  }
  return records;
}

/** Records of results.jsonl, which are in plan order. */
async function readLines(
  directory: string,
  problems: string[],
): Promise<CellRecord[]> {
  try {
    if (!(await Deno.stat(directory)).isDirectory) throw new Error();
  } catch {
    throw new InputError(`Cannot read run folder ${directory}: no such folder`);
  }
  const path = `${directory}/results.jsonl`;
  const lines = (await readRunText(path) ?? "").split("\n");
  const records: CellRecord[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const where = `${path}:${index + 1}`;
    try {
      records.push(parseCellText(line, where));
    } catch (error) {
      problems.push(oneLine(error, where));
    }
  }
  return records;
}

async function readChecks(
  directory: string,
  problems: string[],
): Promise<Check[]> {
  const path = `${directory}/checks.json`;
  try {
    const value = await readJson(path);
    return value === undefined ? [] : parseChecks(value, path);
  } catch (error) {
    problems.push(oneLine(error, path));
    return [];
  }
}

/**
 * Reads what `bench decode` found beside a run.
 *
 * @param directory The run folder.
 * @param problems Takes a line where it cannot be used.
 * @returns Nothing where there is none.
 */
export async function readPeers(
  directory: string,
  problems: string[],
): Promise<DecodePeers | undefined> {
  const path = `${directory}/peers.json`;
  try {
    const value = await readJson(path);
    return value === undefined ? undefined : parseDecodePeers(value, path);
  } catch (error) {
    problems.push(oneLine(error, path));
    return undefined;
  }
}

/**
 * Reads plan.json.
 *
 * @param problems Is told of a file that is none.
 * @returns undefined where there is none.
 */
export async function readPlan(
  directory: string,
  problems: string[],
): Promise<PlannedCell[] | undefined> {
  const path = `${directory}/plan.json`;
  try {
    const value = await readJson(path);
    return value === undefined ? undefined : parsePlan(value, path);
  } catch (error) {
    problems.push(oneLine(error, path));
    return undefined;
  }
}

function parseExperiment(
  text: string | undefined,
): Readonly<Record<string, unknown>> {
  if (text === undefined) return {};
  // A report of good cells is worth more than a refusal over a note beside them.
  const { value } = parsePlainYaml(text);
  return isObject(value) ? value : {};
}

async function readJson(path: string): Promise<unknown> {
  const text = await readRunText(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(oneLine(error, path));
  }
}

function oneLine(error: unknown, where: string): string {
  if (error instanceof InputError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return `Cannot read ${where}: ${shortLine(message)}`;
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

/** Whether a parsed JSON value is an object with named fields. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
