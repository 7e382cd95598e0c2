// deno task report RUN_DIR... [--out DIR] [--figures]: renders summary.md and
// report.html again, from one run folder or from several merged (shards of a
// sweep, runs to compare), and counts the cells that are missing.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import {
  collectSeries,
  drawFigures,
  loadRuns,
  makeFigures,
  missingCells,
  writeReport,
} from "../report/mod.ts";
import { EXIT, note, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `deno task report RUN_DIR... [options]

Renders summary.md and report.html from the cells of one or more run folders.

  --out DIR    where to write; the first RUN_DIR if absent
  --figures    also draw figures/*.svg (needs Chromium or Chrome)
  -v           list the cells that are not measured
  --help       this text`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code: 1 where a cell file could not be read.
 * @throws {InputError} If no folder is given or none holds a record.
 */
export async function report(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { string: ["out"], boolean: ["figures"] });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  const [first, ...rest] = flags._;
  if (first === undefined) {
    throw new InputError("no run folder given; deno task report RUN_DIR...");
  }
  const run = await loadRuns([first, ...rest]);
  const out = typeof flags["out"] === "string" ? flags["out"] : first;
  await Deno.mkdir(out, { recursive: true });
  const { summaryPath, reportPath } = await writeReport(first, rest, out);
  print(summaryPath);
  print(reportPath);
  if (flags["figures"] === true) {
    const drawn = await drawFigures(makeFigures(collectSeries(run), run));
    await Deno.mkdir(join(out, "figures"), { recursive: true });
    for (const [id, svg] of drawn) {
      const path = join(out, "figures", `${id}.svg`);
      await Deno.writeTextFile(path, svg);
      print(path);
    }
  }
  for (const problem of run.problems) note(problem);
  if (flags["verbose"] === true) {
    for (const { cell, variantLabel, measure, contextTokens } of run.missing) {
      const where = contextTokens === undefined ? "" : ` at ${contextTokens}`;
      note(`missing ${cell}: ${variantLabel}, ${measure}${where}`);
    }
  }
  const missing = missingCells(run);
  if (missing !== "") {
    note(`${missing}${flags["verbose"] === true ? "" : " (-v lists them)"}`);
  }
  return run.problems.length > 0 ? EXIT.failed : EXIT.ok;
}

if (import.meta.main) await runVerb(report);
