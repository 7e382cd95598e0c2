// Which TypeScript there is in a folder.

import { join } from "node:path";

/**
 * All .ts files, at any depth.
 *
 * @param folder Where to look.
 * @returns Their paths, which begin with the folder's, in order.
 */
export async function typeScriptIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) files.push(...await typeScriptIn(path));
    else if (name.endsWith(".ts")) files.push(path);
  }
  return files.sort();
}
