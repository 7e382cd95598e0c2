// Suggests what a misspelt name may have meant.

/**
 * Finds the allowed name nearest to a wrong one, by edit distance.
 *
 * @param wrong What the user wrote.
 * @param allowed The names that exist.
 * @returns The nearest, or undefined if none is within half of its length.
 */
export function nearestName(
  wrong: string,
  allowed: readonly string[],
): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const name of allowed) {
    // "brown" means one of "brown/...", however much longer that is.
    const distance = wrong !== "" && name.startsWith(wrong)
      ? 0
      : editDistance(wrong.toLowerCase(), name.toLowerCase());
    if (distance < least && distance <= name.length / 2) {
      least = distance;
      best = name;
    }
  }
  return best;
}

/** Levenshtein distance, one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(
        next[j - 1]! + 1,
        row[j]! + 1,
        row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      ));
    }
    row = next;
  }
  return row[b.length]!;
}
