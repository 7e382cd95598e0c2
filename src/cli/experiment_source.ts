// Finds the experiment file that a user means.

import { basename, join } from "node:path";
import { InputError } from "../base/errors.ts";
import { nearestName } from "../text/nearest_name.ts";

/** The repository's folder of experiments. */
export const EXPERIMENTS_FOLDER = "experiments";

/** What a bare `deno task experiment` runs. */
export const DEFAULT_EXPERIMENT = join(EXPERIMENTS_FOLDER, "quickstart.yaml");

/** An experiment file, read. */
export interface ExperimentSource {
  readonly path: string;
  readonly text: string;
}

/**
 * Reads an experiment file: a path, also relative to where the task was
 * started, or the bare name of a file in experiments/.
 *
 * @param name As the user wrote it; absent: the quickstart.
 * @throws {InputError} If there is no such file; names those that exist.
 */
export async function readExperimentFile(
  name: string = DEFAULT_EXPERIMENT,
): Promise<ExperimentSource> {
  const started = Deno.env.get("INIT_CWD");
  const candidates = [
    name,
    ...(started === undefined ? [] : [join(started, name)]),
    join(EXPERIMENTS_FOLDER, name),
    join(EXPERIMENTS_FOLDER, `${name}.yaml`),
  ];
  for (const path of candidates) {
    try {
      return { path, text: await Deno.readTextFile(path) };
    } catch (error) {
      if (
        !(error instanceof Deno.errors.NotFound ||
          error instanceof Deno.errors.IsADirectory ||
          error instanceof Deno.errors.NotADirectory)
      ) throw error;
    }
  }
  const known = await experimentNames();
  const meant = nearestName(basename(name, ".yaml"), known);
  throw new InputError(
    `Cannot find experiment ${name}${
      meant === undefined ? "" : ` (did you mean "${meant}"?)`
    }; allowed: a path, or one of ${known.join(", ")}`,
  );
}

/** Names of the files in experiments/, sorted. */
export async function experimentNames(): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(EXPERIMENTS_FOLDER)) {
      if (entry.isFile && entry.name.endsWith(".yaml")) {
        names.push(entry.name.slice(0, -".yaml".length));
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}
