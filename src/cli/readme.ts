// deno task readme [--check]: writes the README's results from
// results/published, or says with exit code 1 that they are out of date.

import { InputError } from "../base/errors.ts";
import {
  loadPublished,
  renderReadmeSection,
  updateReadme,
} from "../report/mod.ts";
import { EXIT, note, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `deno task readme [options]

Writes the results section of README.md from results/published: the table and
chart of main, or of quickstart where there is no main, official-parity beside the official code's numbers, and a line
for every other published folder.

  --check      write nothing; exit code 1 if README.md is out of date
  --help       this text`;

/**
 * The verb; paths are relative to the repository's root.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If the README has no markers, or an argument is given.
 */
export async function readme(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { boolean: ["check"] });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  if (flags._.length > 0) {
    throw new InputError(
      `Cannot take ${flags._.join(", ")}: deno task readme takes no arguments`,
    );
  }
  const present = await Deno.readTextFile("README.md");
  const wanted = updateReadme(
    present,
    renderReadmeSection(await loadPublished("results/published")),
  );
  if (wanted === present) return EXIT.ok;
  if (flags["check"] === true) {
    note("README.md is out of date; deno task readme writes it");
    return EXIT.failed;
  }
  await Deno.writeTextFile("README.md", wanted);
  return EXIT.ok;
}

if (import.meta.main) await runVerb(readme);
