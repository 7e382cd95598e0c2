// Captions that the page, the summary and exported tables share.

import type { RunData } from "./load.ts";
import { paretoFront, paretoMeaning } from "./pareto.ts";
import { headlineProtocol } from "./protocol.ts";
import { memoryGrowth } from "./run_facts.ts";
import { contextsOf, mainContext, type Series } from "./series.ts";
import { seedCount } from "./spread.ts";

/** What the headline table's columns mean; only those that it has. */
export function headlineMeaning(series: readonly Series[]): string {
  const hasText = mainContext(series) !== undefined;
  const hasDivergence = mainContext(series, "divergence") !== undefined;
  const isSeeded = series.some(({ seeds }) => seeds !== undefined);
  const parts = [
    ...hasText || hasDivergence || isSeeded
      ? [
        `± is one standard error over windows${
          isSeeded
            ? `, of variants with n calibration seeds (${
              seedCount(series)
            }) one standard deviation over them`
            : ""
        }`,
      ]
      : [],
    ...hasText
      ? [
        "ΔNLL is the mean difference to the baseline over the same windows with its 95 % interval (paired, Student’s t)",
      ]
      : [],
    ...hasDivergence
      ? [
        "KL is the mean of KL(original || variant) a predicted token over the whole vocabulary, top-1 agreement the share of predictions whose most likely token is the original’s",
      ]
      : [],
    ...contextsOf(series, "throughput").length > 0
      ? ["× is the speed relative to the baseline"]
      : [],
  ];
  return parts.length === 0 ? "" : `${parts.join("; ")}.`;
}

/** Meaning, protocol and Pareto rule of the headline table. */
export function headlineCaption(
  series: readonly Series[],
  run: RunData,
): string {
  return [
    headlineMeaning(series),
    headlineProtocol(series, run),
    memoryGrowth(run),
    paretoMeaning(paretoFront(series)),
  ].filter((part) => part !== "").join(" ");
}
