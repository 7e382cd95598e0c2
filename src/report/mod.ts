// The report room: from run folders to tables, figures and pages. It reads
// records and knows neither engines nor methods.

import { writeAtomically } from "../experiment/run_folder.ts";
import { joinRuns } from "./joint.ts";
import type { NamedRun } from "./load.ts";
import { jointTable, namedTables } from "./named_tables.ts";
import { renderJointPage, renderPage } from "./page.ts";
import { loadRunGroups } from "./run_groups.ts";
import { renderJointSummary, renderSummary } from "./summary.ts";
import {
  formatNamedTable,
  TABLE_FORMATS,
  type TableFormat,
} from "./table_formats.ts";

export { type Figure } from "./figure.ts";
export { makeFigures } from "./figures.ts";
export { joinRuns, jointFigures } from "./joint.ts";
export { loadRuns, type NamedRun, type RunData } from "./load.ts";
export { renderJointPage, renderPage } from "./page.ts";
export { type Published, publishRun } from "./publish.ts";
export {
  loadPublished,
  type PublishedRun,
  renderReadmeSection,
  updateReadme,
} from "./readme.ts";
export { renderKoreanSection } from "./readme_korean.ts";
export { mergeNotes, missingCells, missingLines } from "./run_facts.ts";
export { loadRunGroups } from "./run_groups.ts";
export { type PlannedCell } from "./schema.ts";
export { collectSeries, type Series } from "./series.ts";
export { stageLine } from "./stage_line.ts";
export { renderJointSummary, renderSummary } from "./summary.ts";
export { drawFigures } from "./svg.ts";
export {
  parseFormats,
  TABLE_FORMATS,
  type TableFormat,
} from "./table_formats.ts";

/** Where a report was written. */
export interface ReportPaths {
  readonly summaryPath: string;
  readonly reportPath: string;
}

/**
 * Writes summary.md and report.html from run folders, from their files alone.
 * Folders of one run are merged, runs are shown side by side.
 *
 * @param runDir The run folder.
 * @param alsoFrom More folders.
 * @param outDir Where to write. @default runDir
 * @returns The paths written.
 * @throws {InputError} If a folder holds no readable record.
 */
export async function writeReport(
  runDir: string,
  alsoFrom: readonly string[] = [],
  outDir: string = runDir,
): Promise<ReportPaths> {
  return await writeReportOf(
    await loadRunGroups([runDir, ...alsoFrom]),
    outDir,
  );
}

/** Writes summary.md and report.html of runs that were read; as writeReport(). */
export async function writeReportOf(
  runs: readonly NamedRun[],
  outDir: string,
): Promise<ReportPaths> {
  const summaryPath = `${outDir}/summary.md`;
  const reportPath = `${outDir}/report.html`;
  const single = runs.length === 1 ? runs[0]!.run : undefined;
  await writeAtomically(
    summaryPath,
    single === undefined ? renderJointSummary(runs) : renderSummary(single),
  );
  await writeAtomically(
    reportPath,
    single === undefined
      ? await renderJointPage(runs)
      : await renderPage(single),
  );
  return { summaryPath, reportPath };
}

/**
 * Writes the main tables as files: tables/results.csv and others, and for
 * several runs tables/<run>/ of each beside the joint tables/results.csv.
 *
 * @param runs What was read.
 * @param formats Which files of each table.
 * @param outDir The folder that gets tables/.
 * @returns The paths written.
 */
export async function writeTables(
  runs: readonly NamedRun[],
  formats: readonly TableFormat[],
  outDir: string,
): Promise<string[]> {
  const folders = runs.length === 1
    ? [{ folder: "tables", tables: namedTables(runs[0]!.run) }]
    : [
      { folder: "tables", tables: [jointTable(joinRuns(runs))] },
      ...runs.map(({ name, run }) => ({
        folder: `tables/${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`,
        tables: namedTables(run),
      })),
    ];
  const paths: string[] = [];
  for (const { folder, tables } of folders) {
    await Deno.mkdir(`${outDir}/${folder}`, { recursive: true });
    for (const table of tables) {
      for (const format of formats) {
        const path = `${outDir}/${folder}/${table.name}.${
          TABLE_FORMATS[format]
        }`;
        await writeAtomically(path, formatNamedTable(table, format));
        paths.push(path);
      }
    }
  }
  return paths;
}
