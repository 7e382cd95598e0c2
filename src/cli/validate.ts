// deno task validate: checks experiment files without running anything.

import { InputError } from "../base/errors.ts";
import { labelsOf, parseExperiment } from "../experiment/experiment_file.ts";
import { experimentNames, readExperimentFile } from "./experiment_source.ts";
import { EXIT, note, paint, parseFlags, print, runVerb } from "./terminal.ts";

const HELP =
  `Checks experiment files: every error with its line, nothing is run.

Usage: deno task validate [FILE...] [--set KEY=VALUE]
  FILE  a path, or the name of a file in experiments/ (default: all of them)

Exit codes: 0 all files are good, 2 some are not.`;

/**
 * Runs the verb.
 *
 * @param args Its arguments.
 * @returns The exit code.
 */
export async function validate(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { collect: ["set"] });
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  const files = flags._.length > 0 ? flags._ : await experimentNames();
  let good = true;
  for (const file of files) {
    try {
      const { path, text } = await readExperimentFile(file);
      const experiment = parseExperiment(text, path, {
        set: flags.set as string[],
      });
      const variants = labelsOf(experiment).length;
      print(
        `${path}: good, ${variants} ${variants === 1 ? "variant" : "variants"}`,
      );
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      good = false;
      for (const line of error.message.split("\n")) {
        note(`${paint("error", "red")}: ${line}`);
      }
    }
  }
  return good ? EXIT.ok : EXIT.badInput;
}

if (import.meta.main) await runVerb(validate);
