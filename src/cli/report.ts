// deno task report DIR... [--out DIR] [--figures] [--format md,csv,json,latex]:
// renders summary.md and report.html again. Folders of one run (shards,
// repetitions) are merged, different runs are shown side by side, and cells that
// are missing are named.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import {
  collectSeries,
  drawFigures,
  joinRuns,
  jointFigures,
  loadRunGroups,
  makeFigures,
  mergeNotes,
  missingCells,
  missingLines,
  type NamedRun,
  parseFormats,
  writeReportOf,
  writeTables,
} from "../report/mod.ts";
import { EXIT, note, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `deno task report DIR... [options]

Renders summary.md and report.html from the records of run folders or published
folders. Folders of one run (shards of a sweep, repetitions) are merged: of a
cell that several hold, one that ended well before any other, then the latest.
Different runs are shown side by side, with a joint table and joint figures.

  --out DIR        where to write; the first DIR if absent
  --format LIST    also write the main tables to tables/: any of md, csv, json,
                   latex, joined by commas
  --figures        also draw figures/*.svg (needs Chromium or Chrome)
  -v               list all cells that are not measured
  --help           this text`;

/** Variants with missing cells that are named without -v. */
const LISTED = 12;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code: 1 where a cell file could not be read.
 * @throws {InputError} If no folder is given, none holds a record, or a format is unknown.
 */
export async function report(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: ["out", "format"],
    boolean: ["figures"],
  });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  const [first] = flags._;
  if (first === undefined) {
    throw new InputError("no run folder given; deno task report DIR...");
  }
  const formats = typeof flags["format"] === "string"
    ? parseFormats(flags["format"])
    : [];
  const runs = await loadRunGroups(flags._);
  const out = typeof flags["out"] === "string" ? flags["out"] : first;
  await Deno.mkdir(out, { recursive: true });
  const { summaryPath, reportPath } = await writeReportOf(runs, out);
  print(summaryPath);
  print(reportPath);
  for (const path of await writeTables(runs, formats, out)) print(path);
  if (flags["figures"] === true) await writeFigures(runs, out);
  for (const { name, run } of runs) {
    const about = runs.length === 1 ? "" : `${name}: `;
    for (const text of [...run.problems, ...mergeNotes(run)]) {
      note(`${about}${text}`);
    }
    noteMissing(about, run, flags["verbose"] === true);
  }
  return runs.some(({ run }) => run.problems.length > 0)
    ? EXIT.failed
    : EXIT.ok;
}

function noteMissing(
  about: string,
  run: NamedRun["run"],
  isVerbose: boolean,
): void {
  const missing = missingCells(run);
  if (missing === "") return;
  note(`${about}${missing}`);
  const lines = missingLines(run);
  const shown = isVerbose ? lines : lines.slice(0, LISTED);
  for (const line of shown) note(`  missing: ${line}`);
  const left = lines.length - shown.length;
  if (left > 0) note(`  and of ${left} more variants (-v lists them)`);
}

async function writeFigures(
  runs: readonly NamedRun[],
  out: string,
): Promise<void> {
  const figures = runs.length === 1
    ? makeFigures(collectSeries(runs[0]!.run), runs[0]!.run)
    : jointFigures(joinRuns(runs));
  const drawn = await drawFigures(figures);
  await Deno.mkdir(join(out, "figures"), { recursive: true });
  for (const [id, svg] of drawn) {
    const path = join(out, "figures", `${id}.svg`);
    await Deno.writeTextFile(path, svg);
    print(path);
  }
}

if (import.meta.main) await runVerb(report);
