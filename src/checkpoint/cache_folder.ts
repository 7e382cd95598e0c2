// Where downloads are kept, and the lock that keeps two processes from making the
// same one at a time.

import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** The suite's cache folder: $TRANSMLA_CACHE, or transmla-bench in the user's cache folder. */
export function cacheFolder(): string {
  const named = Deno.env.get("TRANSMLA_CACHE");
  if (named) return named;
  const user = Deno.env.get("XDG_CACHE_HOME") || join(homedir(), ".cache");
  return join(user, "transmla-bench");
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
