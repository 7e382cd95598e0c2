// deno task compare A B: two runs beside each other, cell by cell.

import { InputError } from "../base/errors.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import { compareRuns, type Comparison } from "../report/compare.ts";
import { comparisonCsv } from "../report/compare_csv.ts";
import {
  type ComparisonSection,
  comparisonSections,
  unlikeLines,
} from "../report/compare_tables.ts";
import {
  parseTolerance,
  TOLERABLE_METRICS,
  type Violation,
  violations,
} from "../report/compare_tolerance.ts";
import { escapeMarkdown } from "../report/format.ts";
import { markdownTable } from "../report/summary.ts";
import { readRun } from "./run_source.ts";
import {
  EXIT,
  formatTable,
  note,
  paint,
  parseFlags,
  print,
  runVerb,
} from "./terminal.ts";

const FORMATS = ["table", "md", "json", "csv"] as const;

const HELP = `deno task compare A B [options]

Compares two runs: cells of one variant, measure and context beside each other,
differences B minus A, and what the runs were made with where it differs.

  A, B          a run folder, a results.jsonl, NAME of results/published or
                results/runs, or a run's id
  --format F    ${FORMATS.join(", ")}; default: table
  --fail-over METRIC=N[%]
                exit 1 where B is worse than A by more than N in the metric's
                unit, or N % of A; repeatable. METRIC is one of
${TOLERABLE_METRICS.map((metric) => `                  ${metric}`).join("\n")}
                or a measure, which is its first
  --help        this text

ΔNLL is the mean difference over the same windows (paired, Student's t); it is
given where text and windows are the same.
Exit codes: 0 compared, 1 --fail-over does not hold, 2 bad input.`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If an argument is wrong, a run cannot be read, or the runs share no cell.
 */
export async function compare(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: ["format"],
    collect: ["fail-over"],
  });
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  const [nameA, nameB] = flags._;
  if (nameA === undefined || nameB === undefined || flags._.length > 2) {
    throw new InputError(
      `two runs must be given, found ${flags._.length}; deno task compare A B`,
    );
  }
  const format = FORMATS.find((one) => one === (flags["format"] ?? "table"));
  if (format === undefined) {
    throw new InputError(
      `option --format: found ${flags["format"]}; allowed: ${
        FORMATS.join(", ")
      }`,
    );
  }
  const tolerances = (flags["fail-over"] as string[]).map(parseTolerance);
  const a = await readRun(nameA, note);
  const b = await readRun(nameB, note);
  const comparison = compareRuns(a, b);
  if (comparison.pairs.length === 0) {
    throw new InputError(
      `Cannot compare ${a.name} with ${b.name} as no cell has variant, measure and context in common`,
    );
  }
  const failed = violations(comparison, tolerances);
  switch (format) {
    case "table":
      print(asText(comparison));
      break;
    case "md":
      print(asMarkdown(comparison));
      break;
    case "json":
      print(JSON.stringify({ ...comparison, violations: failed }, null, 1));
      break;
    case "csv":
      print(comparisonCsv(comparison).trimEnd());
      break;
    default:
      format satisfies never;
  }
  for (const violation of failed) note(violationLine(violation));
  return failed.length > 0 ? EXIT.failed : EXIT.ok;
}

function asText(comparison: Comparison): string {
  const { a, b } = comparison;
  return [
    `A  ${a}\nB  ${b}`,
    ...unlikeLines(comparison),
    ...comparisonSections(comparison).map(({ title, table }) =>
      `${paint(title, "bold", Deno.stdout)}\n\n${textTable(table)}`
    ),
    countLine(comparison),
  ].join("\n\n");
}

function textTable({ columns, rows }: ComparisonSection["table"]): string {
  return formatTable(
    // Of neighbors in one group the first names it.
    columns.map(({ group, head }, i) =>
      group === undefined || group === columns[i - 1]?.group
        ? head
        : `${group} ${head}`
    ),
    rows.map(({ cells }) => cells.map(({ text }) => text)),
  );
}

function asMarkdown(comparison: Comparison): string {
  const { a, b } = comparison;
  return [
    `- A: ${escapeMarkdown(a)}\n- B: ${escapeMarkdown(b)}`,
    ...unlikeLines(comparison).map((line) => escapeMarkdown(line)),
    ...comparisonSections(comparison).map(({ title, table }) =>
      `## ${title}\n\n${markdownTable(table)}`
    ),
    countLine(comparison),
  ].join("\n\n");
}

function countLine({ pairs, onlyA, onlyB }: Comparison): string {
  const alike = pairs.filter(({ unlike }) => unlike.length === 0).length;
  return `${pairs.length} ${
    pairs.length === 1 ? "pair" : "pairs"
  }, ${alike} like for like; only in A: ${onlyA.length} cells, only in B: ${onlyB.length}`;
}

function violationLine(
  { variantLabel, contextTokens, load, reason }: Violation,
): string {
  const where = contextTokens === undefined ? "" : ` at ${contextTokens}`;
  const under = load === undefined ? "" : ` (${loadText(load)})`;
  return `${
    paint("failed", "red")
  }: ${variantLabel}${where}${under}: ${reason}`;
}

if (import.meta.main) await runVerb(compare);
