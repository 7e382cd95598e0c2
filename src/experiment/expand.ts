// A matrix becomes variants: the product of its lists, plus `include`, minus
// `exclude`. Order: as written, the last key of the matrix fastest.

import type { VariantRecord } from "./record.ts";

/** A variant as the file has it. */
export interface VariantEntry {
  readonly method: string;
  readonly label?: string | undefined;
  readonly matrix?: Readonly<Record<string, readonly unknown[] | undefined>>;
  readonly include?: readonly Readonly<Record<string, unknown>>[];
  readonly exclude?: readonly Readonly<Record<string, unknown>>[];
  readonly [option: string]: unknown;
}

/**
 * Expands one entry of `variants`.
 *
 * @param entry The entry, validated, defaults not filled in.
 * @returns Its variants, none twice; all options given directly are in each.
 */
export function expandVariant(entry: VariantEntry): VariantRecord[] {
  const { label: _label, matrix, include, exclude, ...direct } = entry;
  let combinations: Record<string, unknown>[] = [{}];
  for (const [key, values] of Object.entries(matrix ?? {})) {
    if (values === undefined) continue;
    combinations = combinations.flatMap((combination) =>
      values.map((value) => ({ ...combination, [key]: value }))
    );
  }
  const variants = combinations
    .map((combination) => ({ ...direct, ...combination }) as VariantRecord)
    .filter((variant) =>
      !(exclude ?? []).some((pattern) => agrees(variant, pattern))
    );
  for (const extra of include ?? []) variants.push({ ...direct, ...extra });
  return distinct(variants);
}

/**
 * How many variants an entry has before `exclude`: the matrix is not expanded.
 *
 * @param entry The entry, validated.
 */
export function countVariants({ matrix, include }: VariantEntry): number {
  return Object.values(matrix ?? {}).reduce(
    (product, values) => product * (values?.length ?? 1),
    1,
  ) + (include?.length ?? 0);
}

/** Whether a variant has every value of a pattern. */
function agrees(
  variant: VariantRecord,
  pattern: Readonly<Record<string, unknown>>,
): boolean {
  return Object.entries(pattern).every(([key, value]) =>
    JSON.stringify(variant[key]) === JSON.stringify(value)
  );
}

function distinct(variants: readonly VariantRecord[]): VariantRecord[] {
  const seen = new Set<string>();
  return variants.filter((variant) => {
    const key = JSON.stringify(
      Object.entries(variant).sort(([a], [b]) => a < b ? -1 : 1),
    );
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/**
 * The part of a list that shard i of n has: every n-th entry, from i-1.
 *
 * @param items All entries in plan order.
 * @param shard "i/n", 1 <= i <= n.
 * @throws {RangeError} If the shard is malformed.
 */
export function shardOf<T>(items: readonly T[], shard: string): T[] {
  const match = /^(\d+)\/(\d+)$/.exec(shard);
  const index = Number(match?.[1]);
  const count = Number(match?.[2]);
  if (match === null || index < 1 || index > count) {
    throw new RangeError(
      `Cannot take a shard as it must be i/n with 1 <= i <= n: current value is ${shard}`,
    );
  }
  return items.filter((_, i) => i % count === index - 1);
}
