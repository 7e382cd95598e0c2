// Finds the experiment file that a user means.

import { basename, join } from "node:path";
import { InputError } from "../base/errors.ts";
import { nearestName } from "../text/nearest_name.ts";

/** The repository's folder of experiments. */
export const EXPERIMENTS_FOLDER = "experiments";

/** What a bare `deno task experiment` runs. */
export const DEFAULT_EXPERIMENT = join(EXPERIMENTS_FOLDER, "quickstart.yaml");

/** YAML of a file that has more is refused unread; plain_yaml.ts allows no more characters. */
const MAX_BYTES = 4 * 2 ** 20;

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
      return { path, text: await readText(path) };
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

/** Reads a file that may be anything: no more than an experiment can have, and no byte that is not text. */
async function readText(path: string): Promise<string> {
  const { isFile, size } = await Deno.stat(path);
  if (!isFile) throw new Deno.errors.IsADirectory(path);
  if (size > MAX_BYTES) {
    throw new InputError(
      `${path}:1:1: the file has ${size} bytes; allowed: at most ${MAX_BYTES}`,
    );
  }
  const bytes = await Deno.readFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`${path}:1:1: the file is not UTF-8; allowed: text`);
  }
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
