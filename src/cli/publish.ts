// deno task publish RUN_DIR [--out DIR] [--partial]: copies what a repository should keep of
// a run to results/published/, without paths and host names.

import { InputError } from "../base/errors.ts";
import { publishRun } from "../report/mod.ts";
import { EXIT, note, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `deno task publish RUN_DIR [options]

Copies the experiment, environment, records, checks, times by stage, peers.json,
of a partial run plan.json, summary and SVG figures of a run to results/published/<experiment>/, replacing an
earlier publication as a whole; figures need Chromium or Chrome.

  --out DIR    another folder
  --partial    also a run of which cells are not measured or files cannot be
               read; the summary says so
  --help       this text`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If not exactly one folder is given, it holds no record, or it is incomplete.
 */
export async function publish(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { string: ["out"], boolean: ["partial"] });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  const [directory, ...rest] = flags._;
  if (directory === undefined || rest.length > 0) {
    throw new InputError(
      `${flags._.length} run folders given; deno task publish takes 1`,
    );
  }
  const out = flags["out"];
  const published = await publishRun(
    directory,
    typeof out === "string" ? out : undefined,
    { partial: flags["partial"] === true },
  );
  for (const file of published.files) print(`${published.directory}/${file}`);
  if (published.note !== undefined) note(`no figures: ${published.note}`);
  return EXIT.ok;
}

if (import.meta.main) await runVerb(publish);
