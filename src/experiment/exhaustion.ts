// Which cells need not be tried, since memory has run out for less.

import { FORESEEN } from "../evaluation/memory_budget.ts";
import type { PlannedCell } from "./plan.ts";
import type { Load, Measure } from "./record.ts";
import { loadText } from "./throughput_measure.ts";

/** What is recorded of a cell that is not tried. */
export interface Untried {
  readonly status: "oom" | "skipped";
  readonly error: string;
}

/** Remembers the cells of a run that ran out of memory. */
export class Exhaustion {
  /** Variant, measure and load -> the shortest context that ran out of memory. */
  readonly #contexts = new Map<string, number>();
  /** The same, of what a stated budget does not hold. */
  readonly #foreseen = new Map<string, number>();

  /**
   * Takes note of a cell that ran out of memory.
   *
   * @param cell Of the plan.
   * @param foreseen Whether arithmetic said so.
   */
  add(
    { variantLabel, measure, contextTokens = 0, load }: PlannedCell,
    foreseen = false,
  ): void {
    const contexts = foreseen ? this.#foreseen : this.#contexts;
    const key = keyOf(variantLabel, measure, load);
    const known = contexts.get(key) ?? Infinity;
    contexts.set(key, Math.min(known, contextTokens));
  }

  /** Why a cell is not tried: its conversion or a context that is no longer ran out of memory. */
  untried(
    { variantLabel, measure, contextTokens = 0, load }: PlannedCell,
  ): Untried | undefined {
    if (this.#contexts.has(keyOf(variantLabel, "conversion"))) {
      return skipped("the conversion");
    }
    const key = keyOf(variantLabel, measure, load);
    const foreseen = this.#foreseen.get(key) ?? Infinity;
    if (contextTokens >= foreseen) {
      return {
        status: "oom",
        error: `${FORESEEN}: context ${foreseen} did not fit`,
      };
    }
    const least = this.#contexts.get(key) ?? Infinity;
    return contextTokens >= least
      ? skipped(`contextTokens ${least}`)
      : undefined;
  }
}

function skipped(what: string): Untried {
  return { status: "skipped", error: `skipped as ${what} ran out of memory` };
}

function keyOf(variantLabel: string, measure: Measure, load?: Load): string {
  return `${measure} ${
    load === undefined ? "" : loadText(load)
  } ${variantLabel}`;
}
