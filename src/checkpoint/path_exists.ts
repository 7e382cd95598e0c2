// Whether there is something at a path.

/**
 * Tells whether a file or folder is there.
 *
 * @param path Its path.
 */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
