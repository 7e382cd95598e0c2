// Texts by name.

import { InputError } from "../base/errors.ts";
import { openBrown } from "./brown.ts";
import { openTextFile } from "./file.ts";
import { nearestName } from "./nearest_name.ts";
import type { TextSource } from "./text_source.ts";
import { openWikiText } from "./wikitext.ts";

const OPENERS: Readonly<Record<string, () => Promise<TextSource>>> = {
  "brown/calibration": () => openBrown("calibration"),
  "brown/test": () => openBrown("test"),
  "wikitext-2/validation": () => openWikiText("validation"),
  "wikitext-2/test": () => openWikiText("test"),
};

/** The texts that have a name of their own; `file:PATH` opens any other. */
export const TEXT_NAMES: readonly string[] = Object.keys(OPENERS);

/**
 * Opens a text by its name.
 *
 * @param name One of `TEXT_NAMES`, or `file:PATH`.
 * @returns The text.
 * @throws {InputError} If there is no such text, or the file is not usable.
 * @throws {UnavailableError} If the text cannot be had here.
 */
export async function openText(name: string): Promise<TextSource> {
  if (name.startsWith("file:")) {
    const path = name.slice("file:".length);
    if (path === "") {
      throw new InputError("Cannot open text file: as it names no path");
    }
    return await openTextFile(path);
  }
  if (!Object.hasOwn(OPENERS, name)) {
    const nearest = nearestName(name, TEXT_NAMES);
    throw new InputError(
      `Cannot open text "${name}" as there is no such text${
        nearest === undefined ? "" : `; did you mean "${nearest}"?`
      } (allowed: ${TEXT_NAMES.join(", ")}, file:PATH)`,
    );
  }
  return await OPENERS[name]!();
}
