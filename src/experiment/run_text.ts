// Reads what may lie in a run folder from outside, where a name can be that of a
// folder, or of a pipe that nobody writes to.

import { InputError } from "../base/errors.ts";
import { namingPath } from "./run_folder.ts";

/**
 * Reads a file of a run folder.
 *
 * @param path The file.
 * @returns Its text; nothing where it is not there.
 * @throws {InputError} If it is no file or cannot be read.
 */
export async function readRunText(path: string): Promise<string | undefined> {
  const info = await ifPresent(path, () => Deno.stat(path));
  if (info === undefined) return undefined;
  if (!info.isFile) {
    throw new InputError(
      `Cannot read ${path} as it must be a file: found a ${
        info.isDirectory ? "folder" : info.isFifo ? "pipe" : "device"
      }`,
    );
  }
  return await ifPresent(path, () => Deno.readTextFile(path));
}

/**
 * Names of the files in cells/, sorted.
 *
 * @param directory The run folder.
 * @returns Nothing where it has no cells/.
 * @throws {InputError} If cells/ is no folder or cannot be read.
 */
export async function cellFileNames(
  directory: string,
): Promise<string[] | undefined> {
  const path = `${directory}/cells`;
  const entries = await ifPresent(
    path,
    () => Array.fromAsync(Deno.readDir(path)),
  );
  return entries?.filter(({ name, isFile }) =>
    isFile && /^[^.].*\.json$/.test(name)
  ).map(({ name }) => name).sort();
}

async function ifPresent<T>(
  path: string,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await namingPath("read", path, read);
  } catch (error) {
    if ((error as Error).cause instanceof Deno.errors.NotFound) {
      return undefined;
    }
    throw error;
  }
}
