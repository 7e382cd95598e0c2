// Locks between processes. The system holds them: they end with their process,
// however it ends, so that a killed one leaves nothing locked.

/** A lock that is held. */
export interface FileLock {
  /** Removes the lock file and lets others in. */
  release(): Promise<void>;
}

/**
 * Takes a lock if no other process has it. Where the file system has no locks,
 * everybody gets it: the caller's work must be harmless when done twice.
 *
 * @param path The lock file; its folder must exist. It is there while the lock is held.
 * @returns Undefined where another process, or another caller in this one, holds it.
 */
export async function tryFileLock(path: string): Promise<FileLock | undefined> {
  while (true) {
    const file = await Deno.open(path, { write: true, create: true });
    let held: boolean;
    try {
      held = await file.tryLock(true);
    } catch {
      // A file system without locks.
      held = true;
    }
    if (!held) {
      file.close();
      return undefined;
    }
    // Whoever had it has removed the file that was opened: there is another now, or none.
    if (await isAt(file, path)) return { release: () => release(file, path) };
    file.close();
  }
}

/**
 * Takes a lock, and waits as long as another process has it.
 *
 * @param path As of tryFileLock().
 * @param waiting Is told once that there is something to wait for.
 */
export async function fileLock(
  path: string,
  waiting: () => void = () => {},
): Promise<FileLock> {
  for (let tries = 0;; tries++) {
    const lock = await tryFileLock(path);
    if (lock !== undefined) return lock;
    if (tries === 0) waiting();
    await new Promise((done) =>
      setTimeout(done, Math.min(500, 10 * 2 ** tries))
    );
  }
}

async function isAt(file: Deno.FsFile, path: string): Promise<boolean> {
  try {
    const [mine, there] = [await file.stat(), await Deno.stat(path)];
    return mine.ino === there.ino;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function release(file: Deno.FsFile, path: string): Promise<void> {
  // Before others are let in: they would take a file that is about to go.
  await Deno.remove(path).catch(() => {});
  file.close();
}
