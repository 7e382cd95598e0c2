// Captions that the page, the summary and exported tables share.

import type { RunData } from "./load.ts";
import { paretoFront, paretoMeaning } from "./pareto.ts";
import { headlineProtocol } from "./protocol.ts";
import { memoryGrowth } from "./run_facts.ts";
import { mainContext, type Series } from "./series.ts";
import { seedCount } from "./spread.ts";

/** What the headline table's columns mean; only those that it has. */
export function headlineMeaning(series: readonly Series[]): string {
  const isSeeded = series.some(({ seeds }) => seeds !== undefined);
  return [
    `± is one standard error over windows${
      isSeeded
        ? `, of variants with n calibration seeds (${
          seedCount(series)
        }) one standard deviation over them`
        : ""
    }; ΔNLL is the mean difference to the baseline over the same windows with its 95 % interval (paired, Student’s t)${
      mainContext(series, "divergence") === undefined
        ? ""
        : "; KL is the mean of KL(original || variant) a predicted token over the whole vocabulary, top-1 agreement the share of predictions whose most likely token is the original’s"
    }; × is the speed relative to the baseline.`,
  ].join(" ");
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
