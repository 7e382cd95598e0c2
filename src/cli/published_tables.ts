// Tables of documents that come from published records, and from arithmetic.

import { stagesOf } from "../experiment/stages.ts";
import {
  cacheReduction,
  fullCacheElements,
  latentCacheElements,
  paperLatentWidths,
} from "../model/cache_arithmetic.ts";
import { MODEL_PRESETS } from "../model/presets.ts";
import { OTHER_ENGINE, SAME_ENGINE } from "../report/compare_verdicts.ts";
import { formatNumber, formatSeconds } from "../report/format.ts";
import type { RunData } from "../report/load.ts";
import { machineName, modelNames } from "../report/protocol.ts";
import type { PublishedRun } from "../report/readme.ts";
import { engineName } from "../report/series.ts";
import { codeSpan } from "../report/summary.ts";
import { type DocCell, docTable } from "./doc_table.ts";

/**
 * What was published: on which machine, how long it took, what was met.
 *
 * @param published Of loadPublished(); paths as the document links to them.
 */
export function publishedRuns(published: readonly PublishedRun[]): string {
  return docTable(
    [
      "Run",
      "Model",
      "Machine",
      "Engine",
      "Cells",
      "Time",
      "Expected figures met",
    ],
    published.map(({ path, run }): DocCell[] => {
      const name = path.split("/").at(-1)!;
      const { checks } = run;
      return [
        { markdown: `[${codeSpan(name)}](${path}/summary.md)` },
        { code: modelNames(run) },
        machineName(run),
        enginesOf(run),
        formatNumber(run.cells.length),
        formatSeconds(secondsOf(run)),
        checks.length === 0
          ? "–"
          : `${checks.filter(({ ok }) => ok).length} of ${checks.length}`,
      ];
    }),
  );
}

function enginesOf({ cells }: RunData): string {
  return [...new Set(cells.map(engineName))].join("; ");
}

/** Of all cells and of the starts of engine processes. */
function secondsOf({ cells }: RunData): number {
  return stagesOf(cells)?.totalSeconds ??
    cells.reduce((sum, { wallSeconds }) => sum + wallSeconds, 0);
}

/** The paper's cuts of the cache for each preset, by arithmetic. */
export function paperCuts(): string {
  return docTable(
    ["Preset", "2·G·d", "m", "r", "m + r", "Cache"],
    Object.entries(MODEL_PRESETS).flatMap(([name, config]) => {
      const full = fullCacheElements(config);
      return paperLatentWidths(config).map((widths): DocCell[] => {
        const kept = latentCacheElements(widths);
        return [
          { code: name },
          formatNumber(full),
          formatNumber(widths.qkRopeHeadDim),
          formatNumber(widths.kvLoraRank),
          formatNumber(kept),
          `−${(100 * cacheReduction(kept, full)).toFixed(2)} %`,
        ];
      });
    }),
  );
}

/** Within what figures of a run that is made again agree. */
export function reproductionTolerances(): string {
  const row = (
    what: string,
    unit: string,
    name: "perplexity" | "kl" | "agreement" | "keptEnergy",
  ): DocCell[] => [
    what,
    ...[SAME_ENGINE, OTHER_ENGINE].map((tolerances) =>
      `${tolerances[name]}${unit}`
    ),
  ];
  const both = (what: string, allowed: string): DocCell[] => [
    what,
    allowed,
    allowed,
  ];
  return docTable(
    ["Figure", "Same engine, provider and dtype", "Others"],
    [
      row("perplexity", " relative", "perplexity"),
      row("KL divergence", " relative", "kl"),
      row("top-1 agreement", "", "agreement"),
      row("energy kept by each layer", "", "keptEnergy"),
      both("numbers and bytes of the cache", "equal"),
      both("speeds", "only with --timings RATIO"),
    ],
  );
}
