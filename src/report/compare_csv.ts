// A comparison for spreadsheets.

import { csvField } from "../experiment/assemble.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import type { Comparison } from "./compare.ts";

/**
 * A row a figure, RFC 4180.
 *
 * @param comparison Of two runs.
 */
export function comparisonCsv({ pairs }: Comparison): string {
  const head = [
    "variantLabel",
    "measure",
    "contextTokens",
    "metric",
    "a",
    "b",
    "difference",
    "ratio",
    "pairedMean",
    "pairedCi95Low",
    "pairedCi95High",
    "statusA",
    "statusB",
    "unlike",
    "load",
  ];
  const rows = pairs.flatMap((pair) => {
    const start = [pair.variantLabel, pair.measure, pair.contextTokens];
    const end = [
      pair.statusA,
      pair.statusB,
      pair.unlike.join("; "),
      pair.load === undefined ? undefined : loadText(pair.load),
    ];
    return pair.differences.length === 0
      ? [[...start, ...Array(8).fill(undefined), ...end]]
      : pair.differences.map(({ metric, a, b, difference, ratio, paired }) => [
        ...start,
        metric,
        a,
        b,
        difference,
        ratio,
        paired?.mean,
        ...paired?.ci95 ?? [undefined, undefined],
        ...end,
      ]);
  });
  return [head, ...rows].map((row) => `${row.map(csvField).join(",")}\r\n`)
    .join("");
}
