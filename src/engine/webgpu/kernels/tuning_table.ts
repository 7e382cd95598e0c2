// Files of kernels' shapes that were found fastest: one a machine, written by
// `deno task tune`, and those of adapter families that come with the suite.

import { z } from "zod";
import { InputError } from "../../../base/errors.ts";
import { oneLine } from "../../../base/excerpt.ts";

/** Raised where a kernel's shapes change their meaning: older tables are then ignored. */
export const TUNING_FORMAT = 1;

const plain = z.string().regex(/^\P{Cc}*$/u, "has a control character");

/** A shape's numbers and words, as its kernel names them. */
const shape = z.record(
  z.string(),
  z.union([z.number(), z.boolean(), plain]),
);

const table = z.strictObject({
  format: z.literal(TUNING_FORMAT),
  adapter: plain.min(1),
  driver: plain,
  provider: z.enum(["deno", "dawn"]),
  date: plain,
  /** Versions that it was measured with. */
  deno: plain,
  /** Shape by kernel and size. */
  kernels: z.record(z.string(), z.record(z.string(), shape)),
});

const family = z.strictObject({
  format: z.literal(TUNING_FORMAT),
  /** What names of its adapters start with. */
  adapters: z.array(plain.min(1)).min(1),
  /** One a provider at most. */
  tables: z.array(table),
});

/** A shape in a table. */
export type TunedShape = z.infer<typeof shape>;

/** What was fastest on one adapter with one driver through one provider. */
export type TuningTable = z.infer<typeof table>;

/** Tables for adapters whose names start alike. */
export type TuningFamily = z.infer<typeof family>;

/**
 * Reads a table.
 *
 * @param path Named in errors.
 * @param value The file's JSON.
 * @returns The table.
 * @throws {InputError} If it is not one, with the file and the field.
 */
export function checkTuningTable(path: string, value: unknown): TuningTable {
  return checked(table, path, value);
}

/**
 * Reads the tables of a family of adapters.
 *
 * @param path Named in errors.
 * @param value The file's JSON.
 * @returns The tables.
 * @throws {InputError} If they are none, with the file and the field.
 */
export function checkTuningFamily(path: string, value: unknown): TuningFamily {
  return checked(family, path, value);
}

function checked<T>(schema: z.ZodType<T>, path: string, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path: field, message } = result.error.issues[0]!;
  const where = field.map(String).join(".") || "(whole file)";
  throw new InputError(
    oneLine(`Cannot use ${path} as ${where} is wrong: ${message}`),
  );
}
