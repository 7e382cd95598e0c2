// Which cells need not be tried, since memory has run out for less.

import type { Measure } from "./record.ts";
import type { PlannedCell } from "./plan.ts";

/** Remembers the cells of a run that ran out of memory. */
export class Exhaustion {
  /** Variant and measure -> the shortest context that ran out of memory. */
  readonly #contexts = new Map<string, number>();

  /** Takes note of a cell that ran out of memory. */
  add({ variantLabel, measure, contextTokens = 0 }: PlannedCell): void {
    const key = keyOf(variantLabel, measure);
    const known = this.#contexts.get(key) ?? Infinity;
    this.#contexts.set(key, Math.min(known, contextTokens));
  }

  /** Why a cell is not tried: its conversion or a context that is no longer ran out of memory. */
  reason(
    { variantLabel, measure, contextTokens = 0 }: PlannedCell,
  ): string | undefined {
    if (this.#contexts.has(keyOf(variantLabel, "conversion"))) {
      return "skipped as the conversion ran out of memory";
    }
    const least = this.#contexts.get(keyOf(variantLabel, measure)) ?? Infinity;
    return contextTokens < least
      ? undefined
      : `skipped as contextTokens ${least} ran out of memory`;
  }
}

function keyOf(variantLabel: string, measure: Measure): string {
  return `${measure} ${variantLabel}`;
}
