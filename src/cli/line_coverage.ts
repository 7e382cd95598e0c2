// Line coverage, of the lcov format that `deno coverage` writes.

/** Lines of one source file that the tests run. */
export interface FileCoverage {
  readonly path: string;
  /** Lines that hold code. */
  readonly lines: number;
  /** Those that were run. */
  readonly covered: number;
}

/**
 * Reads coverage.
 *
 * @param lcov Text of `deno coverage --lcov`.
 * @param root Folder that paths begin with; it is cut off.
 * @returns One entry a file that has code, in path order.
 * @see https://github.com/linux-test-project/lcov (geninfo(1), tracefile format)
 */
export function readLcov(lcov: string, root: string): FileCoverage[] {
  const files = new Map<string, Map<number, boolean>>();
  let lines = new Map<number, boolean>();
  for (const line of lcov.split("\n")) {
    const [, key, value] = /^(SF|DA):(.*)$/.exec(line.trimEnd()) ?? [];
    if (key === "SF") {
      const path = value!.startsWith(root) ? value!.slice(root.length) : value!;
      lines = files.get(path) ?? new Map();
      files.set(path, lines);
    } else if (key === "DA") {
      const [number, count] = value!.split(",").map(Number);
      lines.set(number!, lines.get(number!) === true || count! > 0);
    }
  }
  return [...files]
    .map(([path, lines]) => ({
      path,
      lines: lines.size,
      covered: [...lines.values()].filter((covered) => covered).length,
    }))
    .filter((file) => file.lines > 0)
    .sort((a, b) => a.path < b.path ? -1 : 1);
}

/**
 * Covered lines of all lines, 0-1; 1 where there are none.
 *
 * @param files Of readLcov().
 */
export function lineShare(files: readonly FileCoverage[]): number {
  const lines = files.reduce((sum, file) => sum + file.lines, 0);
  const covered = files.reduce((sum, file) => sum + file.covered, 0);
  return lines === 0 ? 1 : covered / lines;
}
