// summary.md: the report's sentences and tables in Markdown, for a terminal, a
// pull request or a repository.

import { crossoverMeaning, crossoverTable } from "./crossovers.ts";
import { checksTable, conversionTable, failedTable } from "./detail_tables.ts";
import {
  peerProtocol,
  peerRatiosMeaning,
  peerRatiosTable,
  PEERS_MEANING,
  peersTable,
} from "./decode_peers.ts";
import { makeFigures } from "./figures.ts";
import { escapeMarkdown, formatNumber } from "./format.ts";
import { headline } from "./headline.ts";
import { joinRuns, jointTitle } from "./joint.ts";
import type { NamedRun, RunData } from "./load.ts";
import { paretoMeaning } from "./pareto.ts";
import {
  calibrationProtocol,
  checkProtocol,
  dates,
  headlineProtocol,
  labelNote,
  machineName,
  modelShapes,
  protocol,
  stepsOf,
} from "./protocol.ts";
import {
  commandLines,
  commits,
  mergeNotes,
  missingCells,
  missingLines,
  missingOfSelected,
  modelChoices,
  peakMemory,
} from "./run_facts.ts";
import { collectSeries, type Series } from "./series.ts";
import { continuationsOf, type SplitText } from "./continuations.ts";
import { headlineCaption, headlineMeaning } from "./captions.ts";
import { stageLine } from "./stage_line.ts";
import {
  divergenceTable,
  perplexityTable,
  seedsTable,
  throughputTable,
} from "./measure_tables.ts";
import {
  LIMIT_MEANING,
  requestsMeaning,
  requestsTable,
  rooflineTable,
} from "./speed_tables.ts";
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
    missingLines(run).map((line) => `- ${escapeMarkdown(line)}`).join("\n"),
    modelChoices(run).map(escapeMarkdown).join(" "),
    mergeNotes(run).map(escapeMarkdown).join(" "),
    run.problems.map((problem) => `- ${escapeMarkdown(problem)}`).join("\n"),
    "## Results",
    markdownTable(headlineTable(series)),
    escapeMarkdown(
      `${headlineCaption(series, run)} ${calibrationProtocol(run)} ${
        labelNote(series)
      }`.trim().replace(/ {2,}/g, " "),
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
    ...section(
      "Perplexity by window length",
      perplexityTable(series),
      protocol(run, { perplexity: "all" }),
      1,
    ),
    ...section(
      "Divergence by window length",
      divergenceTable(series),
      protocol(run, { divergence: "all" }),
      2,
    ),
    ...section(
      "Throughput",
      throughputTable(series, stepsOf(run)),
      protocol(run, { speed: true }),
    ),
    ...section(
      "Whole requests",
      requestsTable(series),
      `${requestsMeaning(run)} ${protocol(run, { speed: true })}`,
    ),
    ...section(
      "Where variants are faster",
      crossoverTable(series),
      crossoverMeaning(series),
    ),
    ...section(
      "Decoding speed against its limit",
      rooflineTable(series),
      `${LIMIT_MEANING} ${protocol(run, { speed: true })}`,
    ),
    ...section(
      "Decoding beside PyTorch",
      peersTable(run.peers),
      run.peers === undefined
        ? ""
        : `${PEERS_MEANING} ${peerProtocol(run.peers)}`,
    ),
    ...section(
      "MLA over the original on each side",
      peerRatiosTable(run.peers),
      peerRatiosMeaning(run.peers),
    ),
    ...section(
      "Calibration seeds",
      seedsTable(series),
      `Each seed draws its own calibration samples. ${
        protocol(run, { perplexity: "all", divergence: "all", speed: true })
      }`,
    ),
    ...continuationsMarkdown(series),
    ...section(
      "Checks",
      checksTable(run),
      checkProtocol(run),
    ),
    ...section(
      "Conversions",
      conversionTable(series),
      `${calibrationProtocol(run)}${onMachine(run)}`,
    ),
    ...section("Cells without a result", failedTable(run), ""),
    "## Provenance",
    [
      ...modelShapes(run),
      `Run ${run.runIds.join(", ")}, ${dates(run)}, ${
        formatNumber(run.cells.length)
      } cells`,
      ...[stageLine(run), peakMemory(run)].filter((line) => line !== ""),
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

/** A headed table and how it was measured, left out where it has no rows or only `trivial` columns of numbers. */
function section(
  title: string,
  table: Table,
  caption: string,
  trivial = 0,
): string[] {
  return table.rows.length === 0 || table.columns.length - 1 <= trivial ? [] : [
    `## ${title}`,
    markdownTable(table),
    escapeMarkdown(caption.trim().replace(/ {2,}/g, " ")),
  ];
}

function onMachine(run: RunData): string {
  const machine = machineName(run);
  return machine === "" ? "" : ` Machine: ${machine}.`;
}

/** Continuations of every prompt; a variant's first word that differs is bold. */
function continuationsMarkdown(series: readonly Series[]): string[] {
  const all = continuationsOf(series);
  if (all.length === 0) return [];
  const plain = (text: string) => escapeMarkdown(text.replace(/\r?\n/g, " ↵ "));
  const split = ({ same, first, rest }: SplitText) => {
    const [, space, word] = /^(\s*)(.*)$/s.exec(first)!;
    return `${plain(same)}${plain(space!)}${
      word === "" ? "" : `**${plain(word!)}**`
    }${plain(rest)}`.trim();
  };
  return [
    "## Greedy continuations",
    "What each model writes after the same prompt, always its most likely token; a variant’s first word that differs from the original’s text is bold.",
    ...all.flatMap(({ prompt, original, tokens, variants }) => [
      `> ${plain(prompt.trim())}`,
      [
        "| Variant | tokens in common | Continuation |",
        "| --- | ---: | --- |",
        `| original | – | ${plain(original.trim())} |`,
        ...variants.map(({ series, commonTokens, text }) =>
          `| ${escapeMarkdown(series.label)} | ${commonTokens} of ${tokens} | ${
            split(text)
          } |`
        ),
      ].join("\n"),
    ]),
  ];
}

/**
 * Renders the Markdown twin of a page of several runs.
 *
 * @param runs Two or more, with different names.
 * @returns Markdown: a joint table, then each run.
 */
export function renderJointSummary(runs: readonly NamedRun[]): string {
  const { series, run, front, differences } = joinRuns(runs);
  return [
    `# ${escapeMarkdown(jointTitle(runs))}`,
    "## All runs",
    markdownTable(headlineTable(series, front)),
    escapeMarkdown(
      [
        ...differences,
        headlineMeaning(series),
        headlineProtocol(series, run),
        paretoMeaning(front),
      ].filter((part) => part !== "").join(" "),
    ),
    ...runs.map(({ name, run }) =>
      renderSummary(run).replace(/^# .*$/m, () => `# ${escapeMarkdown(name)}`)
        .replace(/^#/gm, "##").trimEnd()
    ),
  ].join("\n\n") + "\n";
}
