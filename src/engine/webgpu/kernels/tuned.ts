// Shapes of kernels that were found fastest on an adapter: by `deno task tune` on
// this machine, else those that come with the suite. tuning.ts has the defaults.

import { join } from "node:path";
import { contentKey } from "../../../base/content_key.ts";
import { InputError } from "../../../base/errors.ts";
import { excerpt, oneLine } from "../../../base/excerpt.ts";
import { cacheFolder } from "../../../checkpoint/cache_folder.ts";
import { parseJsonObject } from "../../../checkpoint/strict_json.ts";
import type { AdapterFacts, Gpu } from "../device/gpu.ts";
import nvidiaH100 from "./tuned/nvidia_h100.json" with { type: "json" };
import nvidiaH200 from "./tuned/nvidia_h200.json" with { type: "json" };
import { checkShapes } from "./tuning_shapes.ts";
import {
  checkTuningFamily,
  checkTuningTable,
  type TuningFamily,
  type TuningTable,
} from "./tuning_table.ts";

/** Which tables count: "all" (the default), "shipped" or "none". */
const VARIABLE = "TRANSMLA_TUNING";
const CHOICES: readonly string[] = ["all", "shipped", "none"];

/** In order of precedence. */
const SHIPPED: readonly (readonly [name: string, file: unknown])[] = [
  // What differs from an H100: its memory is 1.4 times as fast.
  ["nvidia_h200", nvidiaH200],
  ["nvidia_h100", nvidiaH100],
];

/** Of a table: thousands of sizes. */
const MOST_BYTES = 2 ** 22;

/** A table, and what records call it. */
export interface NamedTable {
  readonly name: string;
  readonly table: TuningTable;
}

/** In order of precedence; read once a device. */
const tables = new WeakMap<Gpu, readonly NamedTable[]>();

/**
 * A kernel's shape that was found fastest on this adapter: in the user's own table
 * for it, its driver and its provider, else in the one that comes with the suite.
 *
 * @param gpu The device; a software adapter has no tables.
 * @param kernel Its family: "gemm".
 * @param key The size, as the family writes it.
 * @returns The shape, or undefined where nothing was measured.
 */
export function tuned<Shape>(
  gpu: Gpu,
  kernel: string,
  key: string,
): Shape | undefined {
  for (const { table } of tablesOf(gpu)) {
    const shape = table.kernels[kernel]?.[key];
    // What a family wrote it reads.
    if (shape !== undefined) return shape as Shape;
  }
  return undefined;
}

/**
 * What a record says of the tables in use.
 *
 * @param gpu The device.
 * @returns Names with the start of their digests, or undefined where there are none.
 */
export function tuningName(gpu: Gpu): string | undefined {
  const names = tablesOf(gpu).map(({ name, table }) =>
    `${name} ${contentKey(table.kernels).slice(0, 8)}`
  );
  return names.length === 0 ? undefined : names.join(", ");
}

/** Gives a device these tables from now on, in order of precedence. */
export function useTables(gpu: Gpu, own: readonly NamedTable[]): void {
  tables.set(gpu, own);
}

/** Leaves a device with the defaults of tuning.ts from now on. */
export function ignoreTuned(gpu: Gpu): void {
  useTables(gpu, []);
}

/**
 * Where the user's own table for an adapter is kept.
 *
 * @param facts The adapter.
 * @param folder The cache folder.
 */
export function ownTablePath(
  facts: AdapterFacts,
  folder: string = cacheFolder(),
): string {
  const words = [facts.name, facts.driver, facts.provider].join(" ");
  const name = words.toLowerCase().replaceAll(/[^a-z0-9.]+/g, "_");
  return join(folder, "tuning", `${name}.json`);
}

function tablesOf(gpu: Gpu): readonly NamedTable[] {
  let found = tables.get(gpu);
  if (found === undefined) tables.set(gpu, found = readTables(gpu.facts));
  return found;
}

function readTables(facts: AdapterFacts): NamedTable[] {
  if (facts.software) return [];
  const which = isGranted({ name: "env", variable: VARIABLE })
    ? Deno.env.get(VARIABLE) || undefined
    : undefined;
  if (which !== undefined && !CHOICES.includes(which)) {
    throw new InputError(
      `${VARIABLE}: found ${excerpt(which)}; allowed: ${CHOICES.join(", ")}`,
    );
  }
  if (which === "none") return [];
  const shipped = SHIPPED.flatMap(([name, file]) =>
    shippedTables(name, checkTuningFamily(name, file), facts)
  );
  const folder = which === "shipped" ? undefined : readableCache();
  const own = folder === undefined ? undefined : ownTable(facts, folder);
  return own === undefined ? shipped : [own, ...shipped];
}

/**
 * Tables of a family for an adapter and its provider.
 *
 * @param name What records call the family.
 * @param family The file.
 * @param facts The adapter.
 */
export function shippedTables(
  name: string,
  { adapters, tables }: TuningFamily,
  facts: AdapterFacts,
): NamedTable[] {
  if (!adapters.some((start) => facts.name.startsWith(start))) return [];
  return tables.filter(({ provider }) => provider === facts.provider)
    .map((table) => ({ name, table }));
}

/**
 * The user's own table for an adapter, its driver and its provider. A broken one is
 * named in a warning and not used.
 *
 * @param facts The adapter.
 * @param folder The cache folder.
 */
export function ownTable(
  facts: AdapterFacts,
  folder: string,
): NamedTable | undefined {
  const path = ownTablePath(facts, folder);
  try {
    const table = checkTuningTable(
      path,
      parseJsonObject(readSmallFile(path), path),
    );
    checkShapes(path, table);
    // Two names may make one file name.
    const isSame = table.adapter === facts.name &&
      table.driver === facts.driver && table.provider === facts.provider;
    return isSame ? { name: "own", table } : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    console.warn(`warning: ${oneLine(reason)}; the table is not used`);
    return undefined;
  }
}

/** A pipe that nobody writes to, or a device, would never end. */
function readSmallFile(path: string): string {
  const { isFile, size } = Deno.statSync(path);
  if (!isFile || size > MOST_BYTES) {
    throw new InputError(
      `Cannot use ${path} as it must be a file of at most ${MOST_BYTES} bytes: ${
        isFile ? `its size is ${size}` : "it is not a file"
      }`,
    );
  }
  return Deno.readTextFileSync(path);
}

/** The cache folder, where it is known and may be read without asking. */
function readableCache(): string | undefined {
  const variables = ["TRANSMLA_CACHE", "XDG_CACHE_HOME", "HOME", "USERPROFILE"];
  const isKnown =
    variables.every((variable) => isGranted({ name: "env", variable })) &&
    variables.some((variable) => Deno.env.get(variable));
  if (!isKnown) return undefined;
  const path = cacheFolder();
  return isGranted({ name: "read", path }) ? path : undefined;
}

function isGranted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}
