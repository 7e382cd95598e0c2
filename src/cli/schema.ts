// Writes experiments/schema.json: what editors check experiment files with.

import { METHODS } from "../conversion/methods/mod.ts";
import { experimentJsonSchema } from "../experiment/schema.ts";
import { EXIT, note, runVerb } from "./terminal.ts";

/**
 * Runs the verb.
 *
 * @returns The exit code.
 */
export async function schema(): Promise<number> {
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
