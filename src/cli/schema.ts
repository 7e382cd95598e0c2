// Writes experiments/schema.json: what editors check experiment files with.

import { InputError } from "../base/errors.ts";
import { METHODS } from "../conversion/methods/mod.ts";
import { experimentJsonSchema } from "../experiment/schema.ts";
import { EXIT, note, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `deno task schema

Writes experiments/schema.json, with which editors check experiment files, from
the schema in the code.

  --help  this text`;

/**
 * Runs the verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If an argument is given.
 */
export async function schema(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {});
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  if (flags._.length > 0) {
    throw new InputError(
      `Cannot take ${flags._.join(", ")}: deno task schema takes no arguments`,
    );
  }
  const url = new URL("../../experiments/schema.json", import.meta.url);
  const text = JSON.stringify(experimentJsonSchema(METHODS), null, 2);
  await Deno.writeTextFile(url, `${text}\n`);
  await new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", decodeURIComponent(url.pathname)],
  }).output();
  note("experiments/schema.json");
  return EXIT.ok;
}

if (import.meta.main) await runVerb(schema);
