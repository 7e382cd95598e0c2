// Keeps a reproduction out of folders that hold something else: in the folder of
// its source it would compare a run with itself, and cut it to its own cells.

import { basename, dirname, join, relative, resolve } from "node:path";
import { InputError } from "../base/errors.ts";
import { namingPath, writeAtomically } from "../experiment/run_folder.ts";
import { isObject } from "../report/load.ts";
import { isRunFolder } from "./run_source.ts";

/** Names the run that a folder is a reproduction of. */
const MARKER = "reproduction_of.json";

/**
 * Refuses a folder that holds another run than a reproduction of the source.
 *
 * @param source The run to make again.
 * @param out Where the reproduction is to be; need not exist.
 * @throws {InputError} If `out` is the source or in it, or holds a run that is no reproduction of it.
 */
export async function refuseOtherFolder(
  source: string,
  out: string,
): Promise<void> {
  const from = await Deno.realPath(source);
  const inside = relative(from, await placeOf(out));
  if (inside === "" || !/^\.\.([/\\]|$)/.test(inside)) {
    throw new InputError(
      `Cannot reproduce ${source} in ${out} as --out must be outside the run: found ${
        inside === "" ? "the run itself" : "a place in it"
      }`,
    );
  }
  const marked = await markedSource(out);
  if (marked === from || marked === undefined && !await isRunFolder(out)) {
    return;
  }
  throw new InputError(
    `Cannot reproduce ${source} in ${out} as it holds ${
      marked === undefined
        ? "a run that is no reproduction"
        : `a reproduction of ${marked}`
    }: --out must be a new folder, or one of this source`,
  );
}

/**
 * Says in a folder which run is made again there.
 *
 * @param source The run.
 * @param out The reproduction's folder; made where it is not there.
 * @throws {InputError} If it cannot be written.
 */
export async function markFolder(source: string, out: string): Promise<void> {
  await namingPath(
    "write",
    out,
    () => Deno.mkdir(out, { recursive: true }),
  );
  const marker = { source: await Deno.realPath(source) };
  await writeAtomically(join(out, MARKER), `${JSON.stringify(marker)}\n`);
}

/** The real path, also of what is not there yet. */
async function placeOf(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      return await namingPath("write", path, () => Promise.reject(error));
    }
    const full = resolve(path);
    return join(await placeOf(dirname(full)), basename(full));
  }
}

async function markedSource(out: string): Promise<string | undefined> {
  const path = join(out, MARKER);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return await namingPath("read", path, () => Promise.reject(error));
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value) && typeof value["source"] === "string") {
      return value["source"];
    }
  } catch {
    // What names no source is the marker of none.
  }
  return "another source";
}
