// Which cell of one run belongs to which of another: the same variant, measure
// and context; where a run has several such, the one most alike.

import type { Load } from "../experiment/record.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import { shortHash } from "../experiment/canonical.ts";
import type { VariantRecord } from "../experiment/record.ts";

/** How a reader tells cells of one measure and context apart: "original · batch 1". */
export function cellLabel(
  { variantLabel, load }: Pick<Pairable, "variantLabel" | "load">,
): string {
  return load === undefined
    ? variantLabel
    : `${variantLabel} · ${loadText(load)}`;
}

/** What pairing looks at; records and planned cells have it. */
export interface Pairable {
  /** Id: equal ones are of the same options, inputs and engine. */
  readonly cell?: string;
  readonly variant: VariantRecord;
  readonly variantLabel: string;
  readonly calibrationSeed?: number;
  readonly measure: string;
  readonly contextTokens?: number;
  readonly load?: Load;
  readonly model?: { readonly sha256: string };
  readonly engine?: {
    readonly name: string;
    readonly provider?: string;
    readonly dtype: string;
    readonly cacheDtype?: string;
  };
  readonly metrics?: object;
}

/** Cells that belong together, and those that are alone. */
export interface Pairing<A, B> {
  readonly pairs: readonly (readonly [A, B])[];
  readonly onlyA: readonly A[];
  readonly onlyB: readonly B[];
}

/**
 * Pairs cells by id, what is left by label, and the rest by options: a label
 * depends on the variants and seeds that it stands beside.
 *
 * @param a Cells in plan order.
 * @param b The other run's.
 * @returns Pairs in the order of `a`.
 */
export function pairCells<A extends Pairable, B extends Pairable>(
  a: readonly A[],
  b: readonly B[],
): Pairing<A, B> {
  const partner = new Map<A, B>();
  const free = new Set(b);
  for (const keyOf of [idKey, labelKey, optionsKey]) {
    const groups = Map.groupBy(free, keyOf);
    for (const cell of a) {
      if (partner.has(cell)) continue;
      const key = keyOf(cell);
      const best = (key === undefined ? [] : groups.get(key) ?? [])
        .filter((other) => free.has(other))
        .map((other) => ({ other, score: likeness(cell, other) }))
        // Of equals the first: sorting keeps their order.
        .sort((x, y) => y.score - x.score)[0]?.other;
      if (best === undefined) continue;
      partner.set(cell, best);
      free.delete(best);
    }
  }
  return {
    pairs: a.filter((cell) => partner.has(cell)).map((
      cell,
    ) => [cell, partner.get(cell)!]),
    onlyA: a.filter((cell) => !partner.has(cell)),
    onlyB: b.filter((cell) => free.has(cell)),
  };
}

function idKey({ cell }: Pairable): string | undefined {
  return cell;
}

function labelKey(cell: Pairable): string {
  return `${cell.variantLabel}\n${placeKey(cell)}`;
}

function placeKey({ measure, contextTokens, load }: Pairable): string {
  return `${measure}\n${contextTokens ?? ""}${
    load === undefined ? "" : `\n${loadText(load)}`
  }`;
}

function optionsKey(cell: Pairable): string {
  return `${shortHash(cell.variant)}\n${cell.calibrationSeed ?? ""}\n${
    placeKey(cell)
  }`;
}

/** How much two cells of one variant, measure and context have in common. */
function likeness(a: Pairable, b: Pairable): number {
  const traits: ((cell: Pairable) => unknown)[] = [
    (cell) => cell.model?.sha256,
    textOf,
    (cell) => cell.engine?.name,
    (cell) => cell.engine?.provider,
    (cell) => cell.engine?.dtype,
    (cell) => cell.engine?.cacheDtype,
  ];
  // The earlier decide: each weighs more than all after it.
  return traits.reduce(
    (score, trait) => 2 * score + (trait(a) === trait(b) ? 1 : 0),
    0,
  );
}

function textOf({ metrics }: Pairable): unknown {
  return metrics !== undefined && "textSha256" in metrics
    ? metrics.textSha256
    : undefined;
}
