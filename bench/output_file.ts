// A file that a bench writes at its end: said to be impossible at its start.

import { InputError } from "../src/base/errors.ts";

/**
 * Checks that a file can be written, without leaving one.
 *
 * @param path The file; one that is there stays as it is.
 * @throws {InputError} If it cannot be written.
 */
export async function checkWritable(path: string): Promise<void> {
  try {
    const isThere = await exists(path);
    // Results take the place of what has the name: a device must keep its own.
    if (isThere && !(await Deno.stat(path)).isFile) {
      throw new TypeError("it is not a file");
    }
    (await Deno.open(path, { append: true, create: true })).close();
    if (!isThere) await Deno.remove(path);
  } catch (error) {
    const [reason] = (error as Error).message.split("\n", 1);
    throw new InputError(`Cannot write ${path}: ${reason}`, { cause: error });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
