// summary.md: the report's sentences and tables in Markdown, for a terminal, a
// pull request or a repository.

import { checksTable, conversionTable, failedTable } from "./detail_tables.ts";
import { makeFigures } from "./figures.ts";
import { escapeMarkdown, formatNumber } from "./format.ts";
import { headline } from "./headline.ts";
import type { RunData } from "./load.ts";
import {
  calibrationProtocol,
  dates,
  headlineProtocol,
  labelNote,
  machineName,
  modelShapes,
  stepsOf,
} from "./protocol.ts";
import {
  commandLines,
  commits,
  memoryGrowth,
  missingCells,
  missingOfSelected,
} from "./run_facts.ts";
import { collectSeries } from "./series.ts";
import { stageLine } from "./stage_line.ts";
import { perplexityTable, throughputTable } from "./measure_tables.ts";
import type { Table } from "./table.ts";
import { headlineTable } from "./tables.ts";

/**
 * Renders the Markdown twin of the report.
 *
 * @param run The run, or several merged.
 * @param figuresFolder Where SVG figures lie, relative to the summary; absent where none were drawn.
 * @returns Markdown.
 */
export function renderSummary(run: RunData, figuresFolder?: string): string {
  const series = collectSeries(run);
  const sections = [
    `# ${escapeMarkdown(run.experiments.join(", "))}`,
    escapeMarkdown(headline(series, run)),
    missingNote(run),
    run.problems.map((problem) => `- ${escapeMarkdown(problem)}`).join("\n"),
    "## Results",
    markdownTable(headlineTable(series)),
    escapeMarkdown(
      `± is one standard error over windows; ΔNLL is the mean difference to the baseline over the same windows with its 95 % interval (paired, Student’s t); × is the speed relative to the baseline. ${
        headlineProtocol(series, run)
      } ${memoryGrowth(run)} ${calibrationProtocol(run)} ${labelNote(series)}`
        .trim().replace(/ {2,}/g, " "),
    ),
    ...figuresFolder === undefined ? [] : makeFigures(series, run).map((
      figure,
    ) =>
      `![${
        escapeMarkdown(figure.title)
      }](${figuresFolder}/${figure.id}.svg)\n\n*${
        escapeMarkdown(`${figure.title}. ${figure.caption}`)
      }*`
    ),
    ...section("Perplexity by window length", perplexityTable(series), 1),
    ...section("Throughput", throughputTable(series, stepsOf(run))),
    ...section("Checks", checksTable(run)),
    ...section("Conversions", conversionTable(series)),
    ...section("Cells without a result", failedTable(run)),
    "## Provenance",
    [
      ...modelShapes(run),
      `Run ${run.runIds.join(", ")}, ${dates(run)}, ${
        formatNumber(run.cells.length)
      } cells`,
      ...[stageLine(run)].filter((line) => line !== ""),
      ...[["Machine", machineName(run)], ["Commit", commits(run)]].filter((
        [, value],
      ) => value !== "").map(([name, value]) => `${name}: ${value}`),
    ].map((line) => `- ${escapeMarkdown(line)}`).concat(
      commandLines(run).map((line) => `- Command: ${codeSpan(line)}`),
    ).join("\n"),
  ];
  return sections.filter((part) => part !== "").join("\n\n") + "\n";
}

/** What is not there: loud where it was to be measured, a plain line where it was left out. */
function missingNote(run: RunData): string {
  const text = missingCells(run);
  if (text === "") return "";
  return missingOfSelected(run).length > 0
    ? `**Partial: ${text}.**`
    : `${text}.`;
}

/** A command as Markdown shows it, "\`deno task ...\`". */
export function codeSpan(text: string): string {
  return text.includes("`") ? `\`\` ${text} \`\`` : `\`${text}\``;
}

/**
 * Renders a table as GitHub Markdown; it has one line of headings.
 *
 * @param table The table.
 * @returns Lines without a final newline.
 */
export function markdownTable(table: Table): string {
  const head = table.columns.map(({ group, head, short }) =>
    escapeMarkdown(short ?? (group === undefined ? head : `${group}: ${head}`))
  );
  const rule = table.columns.map(({ align }) =>
    align === "right" ? "---:" : "---"
  );
  const rows = table.rows.map((row) =>
    row.cells.map(({ text, note }) => {
      if (note === undefined) return escapeMarkdown(text);
      return escapeMarkdown(
        /^[±[]/.test(note) ? `${text} ${note}` : `${text} (${note})`,
      );
    })
  );
  return [head, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join(
    "\n",
  );
}

/** A headed table, left out where it has no rows or only `trivial` columns of numbers. */
function section(title: string, table: Table, trivial = 0): string[] {
  return table.rows.length === 0 || table.columns.length - 1 <= trivial
    ? []
    : [`## ${title}`, markdownTable(table)];
}
