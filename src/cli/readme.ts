// deno task readme [--check]: writes the READMEs' results from
// results/published, or says with exit code 1 that they are out of date.

import { InputError } from "../base/errors.ts";
import {
  loadPublished,
  renderKoreanSection,
  renderReadmeSection,
  updateReadme,
} from "../report/mod.ts";
import { EXIT, note, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `deno task readme [options]

Writes the results sections of README.md and README.ko.md from results/published:
the table and chart of rank-ablation, or of quickstart where there is none; in
README.md also official-parity beside the official code's numbers, the providers
and element types of precision, speed beside PyTorch and the paper, and a line
for every other published folder.

  --check      write nothing; exit code 1 if a file is out of date
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
  const published = await loadPublished("results/published");
  let code: number = EXIT.ok;
  for (
    const [name, section] of [
      ["README.md", renderReadmeSection(published)],
      ["README.ko.md", renderKoreanSection(published)],
    ] as const
  ) {
    const present = await Deno.readTextFile(name);
    const wanted = updateReadme(present, section, name);
    if (wanted === present) continue;
    if (flags["check"] === true) {
      note(`${name} is out of date; deno task readme writes it`);
      code = EXIT.failed;
    } else {
      await Deno.writeTextFile(name, wanted);
    }
  }
  return code;
}

if (import.meta.main) await runVerb(readme);
