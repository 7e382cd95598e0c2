// What a run folder's JSON files must look like to be read. A run folder comes
// from outside (another machine, an archive), so nothing in it is trusted
// before it has passed through here.

import { z } from "zod";
import type { Check } from "../experiment/assemble.ts";
import type { Load } from "../experiment/record.ts";
import { parseAs } from "../experiment/record_schema.ts";

export { parseCell } from "../experiment/record_schema.ts";

/** A cell that the plan names, measured or not. */
export interface PlannedCell {
  readonly cell: string;
  readonly variantLabel: string;
  readonly measure: string;
  readonly contextTokens?: number;
  readonly load?: Load;
}

const count = z.int().nonnegative();

/** JSON has no NaN. */
const missing = z.number().nullable().transform((value) => value ?? NaN);

const load = z.looseObject({
  batch: z.union([z.literal("auto"), count]),
  memoryBudget: z.string().optional(),
});

const checks = z.array(z.looseObject({
  variantLabel: z.string(),
  metric: z.string(),
  contextTokens: count.nullish().transform((value) => value ?? undefined),
  load: load.optional(),
  expected: z.number(),
  measured: missing,
  difference: missing,
  relative: missing,
  tolerance: z.number(),
  ok: z.boolean(),
  reason: z.string().optional(),
  source: z.string(),
}));

const planned = z.array(z.looseObject({
  cell: z.string(),
  variantLabel: z.string(),
  measure: z.string(),
  contextTokens: count.optional(),
  load: load.optional(),
}));

/** Checks the content of checks.json; as parseCell(). */
export function parseChecks(value: unknown, where: string): Check[] {
  return parseAs(checks, value, where) as unknown as Check[];
}

/** Checks a recorded plan; as parseCell(). */
export function parsePlan(value: unknown, where: string): PlannedCell[] {
  return parseAs(planned, value, where) as unknown as PlannedCell[];
}
