// Where `deno task tune` keeps what it found.

import { dirname } from "node:path";
import type { AdapterFacts } from "../engine/webgpu/device/gpu.ts";
import { ownTablePath } from "../engine/webgpu/kernels/tuned.ts";
import {
  checkTuningFamily,
  checkTuningTable,
  TUNING_FORMAT,
  type TuningFamily,
  type TuningTable,
} from "../engine/webgpu/kernels/tuning_table.ts";
import { parseJsonObject } from "../checkpoint/strict_json.ts";

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
 * Writes a table; sizes that the file has and the table has not stay.
 *
 * @param table What was found.
 * @param facts The adapter.
 * @param out The file. @default the user's own table for the adapter
 * @returns The file.
 * @throws {InputError} If the file is there and no table.
 */
export async function rememberTable(
  table: TuningTable,
  facts: AdapterFacts,
  out?: string,
): Promise<string> {
  const path = out ?? ownTablePath(facts);
  const text = await textOf(path);
  const old = text === undefined ? undefined : parseJsonObject(text, path);
  const content = old === undefined
    ? table
    : "tables" in old
    ? intoFamily(checkTuningFamily(path, old), table)
    : merged(checkTuningTable(path, old), table);
  await Deno.mkdir(dirname(path), { recursive: true });
  // A reader sees the old table or the new one.
  const temporary = `${path}.${Deno.pid}.tmp`;
  await Deno.writeTextFile(temporary, `${JSON.stringify(content, null, 2)}\n`);
  await Deno.rename(temporary, path);
  return path;
}

/** Tables of another driver or Deno are measured anew: their shapes go. */
function merged(old: TuningTable, table: TuningTable): TuningTable {
  const isSame = old.adapter === table.adapter &&
    old.driver === table.driver && old.provider === table.provider &&
    old.deno === table.deno;
  if (!isSame) return table;
  const kernels = { ...old.kernels };
  for (const [kernel, shapes] of Object.entries(table.kernels)) {
    kernels[kernel] = { ...kernels[kernel], ...shapes };
  }
  return { ...table, kernels };
}

function intoFamily(family: TuningFamily, table: TuningTable): TuningFamily {
  const old = family.tables.find(({ provider }) => provider === table.provider);
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
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
