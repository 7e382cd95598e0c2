// The report room: from run folders to tables, figures and pages. It reads
// records and knows neither engines nor methods.

import { loadRuns } from "./load.ts";
import { renderPage } from "./page.ts";
import { renderSummary } from "./summary.ts";

export { type Figure } from "./figure.ts";
export { makeFigures } from "./figures.ts";
export { loadRuns, type RunData } from "./load.ts";
export { renderPage } from "./page.ts";
export { type Published, publishRun } from "./publish.ts";
export {
  loadPublished,
  type PublishedRun,
  renderReadmeSection,
  updateReadme,
} from "./readme.ts";
export { missingCells } from "./run_facts.ts";
export { type PlannedCell } from "./schema.ts";
export { collectSeries, type Series } from "./series.ts";
export { stageLine } from "./stage_line.ts";
export { renderSummary } from "./summary.ts";
export { drawFigures } from "./svg.ts";

/** Where a report was written. */
export interface ReportPaths {
  readonly summaryPath: string;
  readonly reportPath: string;
}

/**
 * Writes summary.md and report.html of a run folder, from its files alone.
 *
 * @param runDir The run folder.
 * @param alsoFrom More folders to merge into the same report.
 * @param outDir Where to write. @default runDir
 * @returns The paths written.
 * @throws {InputError} If a folder holds no readable record.
 */
export async function writeReport(
  runDir: string,
  alsoFrom: readonly string[] = [],
  outDir: string = runDir,
): Promise<ReportPaths> {
  const run = await loadRuns([runDir, ...alsoFrom]);
  const summaryPath = `${outDir}/summary.md`;
  const reportPath = `${outDir}/report.html`;
  await Deno.writeTextFile(summaryPath, renderSummary(run));
  await Deno.writeTextFile(reportPath, await renderPage(run));
  return { summaryPath, reportPath };
}
