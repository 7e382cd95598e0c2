// What `measure.throughput` comes to: its defaults filled in, and the loads of
// its cells.

import type { Load } from "./record.ts";
import type { ExperimentFile, ThroughputMeasure } from "./schema.ts";

type Written = NonNullable<ExperimentFile["measure"]["throughput"]>;

/**
 * Fills in what a file leaves out. Defaults that are no numbers are absent, and
 * lists of one are their entry, since what is written decides the run's id.
 *
 * @param written As in the file.
 * @param shared Contexts of all measures.
 */
export function resolvedThroughput(
  written: Written,
  shared: readonly number[] | undefined,
): ThroughputMeasure {
  const { batch, memoryBudget, cache, workload, requests, profile, ...rest } =
    written;
  return {
    ...rest,
    contexts: written.contexts ?? shared ?? [],
    batch: single(batch),
    ...(memoryBudget === undefined
      ? {}
      : { memoryBudget: single(memoryBudget) }),
    ...(cache === "seeded" ? { cache } : {}),
    ...(workload === "requests"
      ? { workload, requests: { count: 100, samples: 5, ...requests } }
      : {}),
    ...(profile === true ? { profile } : {}),
  } as ThroughputMeasure;
}

function single<T>(value: T | readonly T[]): T | readonly T[] {
  return Array.isArray(value) && value.length === 1 ? value[0] as T : value;
}

/**
 * The loads of a measure's cells: the product of batches and budgets, in the
 * order of the file. A budget says how many "auto" is; a number that is listed
 * beside it is another question, and is asked once.
 *
 * @param measure Resolved.
 */
export function loadsOf(
  { batch, memoryBudget }: Pick<ThroughputMeasure, "batch" | "memoryBudget">,
): Load[] {
  const batches = [batch].flat() as (number | "auto")[];
  const budgets = memoryBudget === undefined
    ? []
    : [memoryBudget].flat() as string[];
  const free = batches.includes("auto");
  return batches.flatMap((batch): Load[] =>
    budgets.length === 0 || (free && batch !== "auto")
      ? [{ batch }]
      : budgets.map((memoryBudget) => ({ batch, memoryBudget }))
  );
}

/**
 * Requests of a cell.
 *
 * @param measure Resolved.
 * @param contextTokens Of the cell.
 * @returns Undefined where no requests are timed.
 */
export function requestsAt(
  { requests }: Pick<ThroughputMeasure, "requests">,
  contextTokens: number,
): { readonly count: number; readonly samples: number } | undefined {
  if (requests === undefined) return undefined;
  const { count, samples, countAt } = requests;
  return { count: countAt?.[contextTokens] ?? count, samples };
}

/**
 * Tokens that each sequence of a cell reaches.
 *
 * @param measure Resolved.
 * @param contextTokens Of the cell.
 */
export function reachedTokens(
  { workload, steps, profile }: Pick<
    ThroughputMeasure,
    "workload" | "steps" | "profile"
  >,
  contextTokens: number,
): number {
  // The profiled step comes after those that are timed.
  const profiled = profile === true ? 1 : 0;
  return contextTokens + profiled + (workload === "requests" ? 0 : steps);
}

/**
 * A load in words: "batch auto, 24GiB".
 *
 * @param load Of a cell.
 */
export function loadText({ batch, memoryBudget }: Load): string {
  return `batch ${batch}${
    memoryBudget === undefined ? "" : `, ${memoryBudget}`
  }`;
}

/**
 * Sequences that a load asks for: no more requests are served at once than there are.
 *
 * @param batch Of the load.
 * @param requests At the context, where whole requests are timed.
 */
export function servedAtOnce(
  batch: Load["batch"],
  requests: { readonly count: number } | undefined,
): Load["batch"] {
  return batch === "auto"
    ? batch
    : Math.min(batch, requests?.count ?? Infinity);
}
