// deno task readme [--check]: writes the README's results from
// results/published, or says with exit code 1 that they are out of date.

import {
  loadPublished,
  renderReadmeSection,
  updateReadme,
} from "../report/mod.ts";
import { EXIT, note, parseFlags, runVerb } from "./terminal.ts";

/**
 * The verb; paths are relative to the repository's root.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If the README has no markers.
 */
export async function readme(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { boolean: ["check"] });
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
