// A run's time by stage, in one sentence.

import { stagesOf } from "../experiment/stages.ts";
import { formatNumber, formatPercent, formatSeconds } from "./format.ts";
import type { RunData } from "./load.ts";

/**
 * Says where the time went: "Time: 212 s, of which perplexity 71.2 %, ...".
 *
 * @param run The cells.
 * @returns "" where they have no times by stage.
 */
export function stageLine(run: Pick<RunData, "cells">): string {
  const times = stagesOf(run.cells);
  if (times === undefined) return "";
  const shares = times.stages.filter(({ seconds }) => seconds > 0).map((
    { stage, share },
  ) => `${stage} ${formatPercent(share, 1)}`);
  const { calibrationModels: models, calibrationRuns: runs } = times;
  const calibration = models === 0
    ? ""
    : `; ${formatNumber(runs)} calibration run${
      runs === 1 ? "" : "s"
    } for the moments of ${formatNumber(models)} model${
      models === 1 ? "" : "s"
    }`;
  return `Time of the cells: ${formatSeconds(times.totalSeconds)}, of which ${
    shares.join(", ")
  }${calibration}.`;
}
