// A line diff of two values, for failed assertions.

import { inspect } from "node:util";

// Longer texts are printed whole, one after the other: the table of the longest
// common subsequence grows with the product of the two line counts.
const MAX_LINES = 2000;

/**
 * Shows how two values differ, one property a line: lines of `actual` alone
 * begin with "- ", of `expected` alone with "+ ".
 *
 * @param actual What was found.
 * @param expected What should have been.
 * @returns Several lines, without a final newline.
 */
export function diff(actual: unknown, expected: unknown): string {
  const before = show(actual).split("\n");
  const after = show(expected).split("\n");
  const body = before.length > MAX_LINES || after.length > MAX_LINES
    ? [...before.map((line) => `- ${line}`), ...after.map((l) => `+ ${l}`)]
    : lines(before, after);
  return ["    [Diff] Actual (-) / Expected (+)", "", ...body].join("\n");
}

/** A value as an assertion's message prints it. */
export function show(value: unknown): string {
  if (typeof value === "string" && value.includes("\n")) return value;
  return inspect(value, {
    depth: Infinity,
    sorted: true,
    maxArrayLength: 1000,
    breakLength: 80,
  });
}

function lines(before: readonly string[], after: readonly string[]): string[] {
  const width = after.length + 1;
  const common = new Uint16Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i * width + j] = before[i] === after[j]
        ? common[(i + 1) * width + j + 1]! + 1
        : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!);
    }
  }
  const out: string[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      out.push(`  ${before[i++]}`);
      j++;
    } else if (
      j >= after.length ||
      (i < before.length &&
        common[(i + 1) * width + j]! >= common[i * width + j + 1]!)
    ) {
      out.push(`- ${before[i++]}`);
    } else {
      out.push(`+ ${after[j++]}`);
    }
  }
  return out;
}
