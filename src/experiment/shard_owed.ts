// What the other shards of a job array still have to measure.

import type { PlannedCell } from "./plan.ts";
import type { CellRecord } from "./record.ts";
import { isResult } from "./run_folder.ts";
import { selectCells } from "./run_options.ts";

/** Shards that are named one by one. */
const LISTED = 10;

/**
 * Says how far a job array is, once one shard has ended.
 *
 * @param cells Of the plan.
 * @param records Of all shards.
 * @param selection Of this shard: "i/n", of those that a glob leaves.
 * @returns One line.
 */
export function shardLine(
  cells: readonly PlannedCell[],
  records: readonly CellRecord[],
  { shard, ...selection }: { readonly only?: string; readonly shard: string },
): string {
  const [own, count] = shard.split("/").map(Number) as [number, number];
  const results = new Set(records.filter(isResult).map(({ cell }) => cell));
  const owed = new Map<number, number>();
  for (const [i, { cell }] of selectCells(cells, selection).entries()) {
    const owner = i % count + 1;
    if (!results.has(cell)) owed.set(owner, (owed.get(owner) ?? 0) + 1);
  }
  const mine = owed.get(own);
  owed.delete(own);
  const begin = mine === undefined
    ? `shard ${shard} is complete`
    : `shard ${shard} owes ${cellsOf(mine)}`;
  if (owed.size === 0) {
    return mine === undefined
      ? `${begin}, and so are all others`
      : `${begin}; all others are complete`;
  }
  const others = [...owed].sort(([a], [b]) => a - b)
    .map(([owner, number]) => `${owner}/${count} ${cellsOf(number)}`);
  const more = others.length - LISTED;
  return `${begin}; still owed by others: ${
    others.slice(0, LISTED).join(", ")
  }${more > 0 ? ` and by ${more} more` : ""}`;
}

function cellsOf(count: number): string {
  return `${count} ${count === 1 ? "cell" : "cells"}`;
}
