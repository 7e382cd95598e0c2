// Where `deno task tune` keeps what it found.

import { dirname } from "node:path";
import { InputError } from "../base/errors.ts";
import type { AdapterFacts } from "../engine/webgpu/device/gpu.ts";
import { ownTablePath } from "../engine/webgpu/kernels/tuned.ts";
import { checkShapes } from "../engine/webgpu/kernels/tuning_shapes.ts";
import {
  checkTuningFamily,
  checkTuningTable,
  TUNING_FORMAT,
  type TuningFamily,
  type TuningTable,
} from "../engine/webgpu/kernels/tuning_table.ts";
import { parseJsonObject } from "../checkpoint/strict_json.ts";
import { writeAtomically } from "../experiment/run_folder.ts";

/**
 * A table of this adapter, made now.
 *
 * @param facts The adapter.
 * @param kernels What was found.
 */
export function tableWith(
  facts: AdapterFacts,
  kernels: TuningTable["kernels"],
): TuningTable {
  return {
    format: TUNING_FORMAT,
    adapter: facts.name,
    driver: facts.driver,
    provider: facts.provider,
    date: new Date().toISOString().slice(0, 10),
    deno: Deno.version.deno,
    kernels,
  };
}

/**
 * Checks before anything is timed that a table can be written in the end.
 *
 * @param facts The adapter.
 * @param out The file. @default the user's own table for the adapter
 * @returns What writing will replace, in words; undefined where it only adds.
 * @throws {InputError} If the file is no table, is another adapter's, or cannot be written.
 */
export async function checkTableFile(
  facts: AdapterFacts,
  out?: string,
): Promise<string | undefined> {
  const path = out ?? ownTablePath(facts);
  const old = await readOld(path, facts);
  for (const table of old?.family?.tables ?? [old?.table]) {
    if (table !== undefined) checkShapes(path, table);
  }
  const temporary = `${path}.${Deno.pid}.tmp`;
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeTextFile(temporary, "");
    await Deno.remove(temporary);
  } catch (error) {
    throw new InputError(`Cannot write ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const table = old?.family === undefined
    ? old?.table
    : ofProvider(old.family, facts.provider);
  return table === undefined || isSameMaker(table, tableWith(facts, {}))
    ? undefined
    : `${path}: the first size that is tuned replaces the shapes of ${table.adapter}, driver ${table.driver}, Deno ${table.deno}`;
}

/**
 * Writes a table; sizes that the file has and the table has not stay.
 *
 * @param table What was found.
 * @param facts The adapter.
 * @param out The file. @default the user's own table for the adapter
 * @returns The file.
 * @throws {InputError} If the file is there and no table, or another adapter's.
 */
export async function rememberTable(
  table: TuningTable,
  facts: AdapterFacts,
  out?: string,
): Promise<string> {
  const path = out ?? ownTablePath(facts);
  const old = await readOld(path, facts);
  const content = old?.family !== undefined
    ? intoFamily(old.family, table)
    : old?.table !== undefined
    ? merged(old.table, table)
    : table;
  await Deno.mkdir(dirname(path), { recursive: true });
  await writeAtomically(path, `${JSON.stringify(content, null, 2)}\n`);
  return path;
}

/** What the file has, where it may be added to. */
async function readOld(
  path: string,
  { name }: AdapterFacts,
): Promise<{ family?: TuningFamily; table?: TuningTable } | undefined> {
  const text = await textOf(path);
  if (text === undefined) return undefined;
  const old = parseJsonObject(text, path);
  const others = (of: string) =>
    new InputError(
      `Cannot write shapes of ${name} to ${path} as it has those of ${of}`,
    );
  if ("tables" in old) {
    const family = checkTuningFamily(path, old);
    if (!family.adapters.some((start) => name.startsWith(start))) {
      throw others(family.adapters.join(", "));
    }
    return { family };
  }
  const table = checkTuningTable(path, old);
  if (table.adapter !== name) throw others(table.adapter);
  return { table };
}

/** Tables of another driver or Deno are measured anew: their shapes go. */
function merged(old: TuningTable, table: TuningTable): TuningTable {
  if (!isSameMaker(old, table)) return table;
  const kernels = { ...old.kernels };
  for (const [kernel, shapes] of Object.entries(table.kernels)) {
    kernels[kernel] = { ...kernels[kernel], ...shapes };
  }
  return { ...table, kernels };
}

function isSameMaker(a: TuningTable, b: TuningTable): boolean {
  return a.adapter === b.adapter && a.driver === b.driver &&
    a.provider === b.provider && a.deno === b.deno;
}

function ofProvider(
  { tables }: TuningFamily,
  provider: string,
): TuningTable | undefined {
  return tables.find((one) => one.provider === provider);
}

function intoFamily(family: TuningFamily, table: TuningTable): TuningFamily {
  const old = ofProvider(family, table.provider);
  return {
    ...family,
    tables: [
      ...family.tables.filter((one) => one !== old),
      old === undefined ? table : merged(old, table),
    ].sort((a, b) => a.provider < b.provider ? -1 : 1),
  };
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    const { isFile } = await Deno.stat(path);
    // A pipe that nobody writes to would never end.
    if (!isFile) throw new InputError("it is not a file");
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new InputError(`Cannot read ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
