// Where downloads are kept, and the lock that keeps two processes from making the
// same one at a time.

import { dirname, join } from "node:path";
import { InputError } from "../base/errors.ts";

/**
 * The suite's cache folder: $TRANSMLA_CACHE, or transmla-bench in the user's cache folder.
 *
 * @throws {InputError} If no variable names a home.
 */
export function cacheFolder(): string {
  const named = Deno.env.get("TRANSMLA_CACHE");
  if (named) return named;
  const caches = Deno.env.get("XDG_CACHE_HOME");
  if (caches) return join(caches, "transmla-bench");
  // node:os's homedir() would need one more permission.
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  if (home) return join(home, ".cache", "transmla-bench");
  throw new InputError(
    "Cannot find a folder for downloads as none of TRANSMLA_CACHE, XDG_CACHE_HOME and HOME is set",
  );
}

/**
 * Runs `work` while no other process holds the same lock.
 *
 * @param path The lock file; it stays, empty.
 * @param work What to do.
 * @returns Its result.
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
): Promise<T> {
  await Deno.mkdir(dirname(path), { recursive: true });
  using file = await Deno.open(path, { write: true, create: true });
  await file.lock(true);
  try {
    return await work();
  } finally {
    await file.unlock();
  }
}
