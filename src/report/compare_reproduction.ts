// Whether a run that was made again gives the figures of the first.

import type { CellRecord, Load, Measure } from "../experiment/record.ts";
import { pairCells } from "./compare_pairs.ts";
import {
  type FigureVerdict,
  figureVerdicts,
  no,
  type ReproductionOptions,
} from "./compare_verdicts.ts";

/** A figure of a first run beside the same of the second, and where it is. */
export interface Verdict extends FigureVerdict {
  readonly variantLabel: string;
  readonly measure: Measure;
  readonly contextTokens?: number;
  /** Of throughput, where there are several. */
  readonly load?: Load;
}

/**
 * Whether records can be compared: those that ended well, and without
 * `timings` all but speeds.
 *
 * @param record Of the first run.
 * @param options What is compared.
 */
export function isReproducible(
  record: CellRecord,
  { timings }: ReproductionOptions,
): boolean {
  return record.status === "ok" &&
    (record.measure !== "throughput" || timings !== undefined);
}

/**
 * Compares the cells of a run with the same cells measured again.
 *
 * @param recorded Cells of the first run for which isReproducible() holds.
 * @param measured Cells of the second run.
 * @param options What is compared.
 * @returns At least one verdict for each recorded cell, in order.
 */
export function reproductionVerdicts(
  recorded: readonly CellRecord[],
  measured: readonly CellRecord[],
  options: ReproductionOptions = {},
): Verdict[] {
  const partner = new Map(pairCells(recorded, measured).pairs);
  return recorded.flatMap((record) => {
    const again = partner.get(record);
    const reason = again === undefined
      ? "not measured"
      : again.status === "ok"
      ? undefined
      : `${again.status}: ${again.error ?? "no reason is recorded"}`;
    if (again === undefined || reason !== undefined) {
      return [{ ...place(record), quantity: record.measure, ...no(reason) }];
    }
    return figureVerdicts(record, again, options).map((verdict) => ({
      ...place(record),
      ...verdict,
    }));
  });
}

function place({ variantLabel, measure, contextTokens, load }: CellRecord) {
  return {
    variantLabel,
    measure,
    ...(contextTokens === undefined ? {} : { contextTokens }),
    ...(load === undefined ? {} : { load }),
  };
}
