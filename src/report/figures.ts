// The report's figures, each made only where its data exist.

import type { Figure } from "./figure.ts";
import {
  energyByLayer,
  perplexityByContext,
  throughputByContext,
} from "./line_figures.ts";
import { isObject, type RunData } from "./load.ts";
import { byOption, keyValueBalance } from "./option_figures.ts";
import { paretoByCache, paretoBySpeed } from "./pareto_figures.ts";
import { peerFigures } from "./peer_figures.ts";
import { divergenceByCache, perplexityByCache } from "./point_figures.ts";
import type { Series } from "./series.ts";

/**
 * Makes every figure that the measurements support. Those that the experiment
 * names come first, in its order.
 *
 * @param series All series.
 * @param run Their run.
 * @returns Figures as data.
 */
export function makeFigures(
  series: readonly Series[],
  run: RunData,
): Figure[] {
  const figures = [
    perplexityByCache(series, run),
    divergenceByCache(series, run),
    byOption(series, run, "freqFold"),
    byOption(series, run, "kvLoraRank"),
    keyValueBalance(series, run),
    perplexityByContext(series, run),
    throughputByContext(series, run),
    paretoByCache(series, run),
    paretoBySpeed(series, run),
    energyByLayer(series, run),
    ...run.peers === undefined ? [] : peerFigures(run.peers),
  ].filter((figure) => figure !== undefined);
  const report = run.experiment["report"];
  const named = isObject(report) ? report["figures"] : undefined;
  const order = Array.isArray(named) ? named : [];
  const place = (figure: Figure) => {
    const index = order.indexOf(figure.id);
    return index < 0 ? order.length : index;
  };
  return figures.sort((a, b) => place(a) - place(b));
}
