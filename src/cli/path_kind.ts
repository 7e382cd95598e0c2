// What is at a path that a user gave.

/**
 * Tells files from folders.
 *
 * @param path Of anything, or of nothing.
 * @returns Undefined where nothing is there.
 */
export async function kindOf(
  path: string,
): Promise<"file" | "folder" | undefined> {
  try {
    return (await Deno.stat(path)).isDirectory ? "folder" : "file";
  } catch (error) {
    if (
      error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory
    ) return undefined;
    throw error;
  }
}
