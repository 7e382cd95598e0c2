// What makes two runs the same run: everything that decides which numbers there
// are. How they are told, checked and waited for may change while a run is resumed.

import { parse } from "yaml";
import { shortHash } from "./canonical.ts";

/** Fields of a resolved experiment that decide no number. */
const TOLD = new Set(["description", "report", "expect", "timeoutSeconds"]);

/**
 * Names a run.
 *
 * @param experiment Resolved: `model` is the one that was had.
 * @returns 16 hex digits.
 */
export function runIdentity(experiment: object): string {
  return shortHash(
    Object.fromEntries(
      Object.entries(experiment).filter(([field]) => !TOLD.has(field)),
    ),
  );
}

/**
 * Names the run of a folder's experiment.yaml.
 *
 * @param text As a run wrote it.
 * @returns Undefined where it cannot be read.
 */
export function writtenIdentity(text: string): string | undefined {
  try {
    const experiment = parse(text, { maxAliasCount: 0 });
    return typeof experiment === "object" && experiment !== null
      ? runIdentity(experiment)
      : undefined;
  } catch {
    return undefined;
  }
}
