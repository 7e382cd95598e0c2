// The folder that a conversion is written to: whole, or as it was before.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import { namingPath } from "../experiment/run_folder.ts";

/**
 * Refuses a folder that holds something.
 *
 * @param out A path.
 * @throws {InputError} If it is neither an empty folder nor missing.
 */
export async function refuseFull(out: string): Promise<void> {
  const [name] = await namesIn(out) ?? [];
  if (name === undefined) return;
  throw new InputError(`Cannot write to ${out} as it has ${name} in it`);
}

/**
 * Makes a folder and writes its files. If that fails, what was written goes, so
 * that the same command can be given again.
 *
 * @param out The folder; it may be there.
 * @param write Writes the files.
 * @returns What `write` returns.
 * @throws {InputError} If another path would help.
 * @throws {DiskFullError} If there is no space.
 */
export async function writingFolder<T>(
  out: string,
  write: () => Promise<T>,
): Promise<T> {
  const before = await namesIn(out);
  try {
    await Deno.mkdir(out, { recursive: true });
    return await write();
  } catch (error) {
    for (const name of await namesIn(out) ?? []) {
      if (!before?.includes(name)) await Deno.remove(join(out, name));
    }
    if (before === undefined) await Deno.remove(out).catch(() => {});
    if (!/\(os error \d+\)/.test(String(error))) throw error;
    return await namingPath("write", out, () => Promise.reject(error));
  }
}

/** Undefined where there is no such folder. */
async function namesIn(folder: string): Promise<string[] | undefined> {
  return await namingPath("read", folder, async () => {
    const names: string[] = [];
    try {
      for await (const { name } of Deno.readDir(folder)) names.push(name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      return undefined;
    }
    return names.sort();
  });
}
