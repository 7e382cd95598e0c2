// What the page says of one run, section by section.

import { crossoverMeaning, crossoverTable } from "./crossovers.ts";
import {
  cellsTable,
  checksTable,
  conversionTable,
  failedCells,
  failedTable,
} from "./detail_tables.ts";
import {
  peerProtocol,
  peerRatiosMeaning,
  peerRatiosTable,
  PEERS_MEANING,
  peersTable,
} from "./decode_peers.ts";
import type { Figure } from "./figure.ts";
import { escapeHtml, formatNumber } from "./format.ts";
import { headline } from "./headline.ts";
import { htmlTable } from "./html_parts.ts";
import type { RunData } from "./load.ts";
import { divergenceTable, seedsTable } from "./measure_tables.ts";
import { continuationsSection } from "./page_continuations.ts";
import {
  type Counter,
  figureHtml,
  foldedTable,
  tableHtml,
} from "./page_parts.ts";
import {
  calibrationProtocol,
  checkProtocol,
  dates,
  labelNote,
  machineName,
  modelNames,
  modelShapes,
  protocol,
} from "./protocol.ts";
import { provenanceTable } from "./provenance_table.ts";
import {
  commandLines,
  commits,
  mergeNotes,
  missingCells,
  missingLines,
  missingOfSelected,
  modelChoices,
  notSelectedNote,
} from "./run_facts.ts";
import { engineName, type Series } from "./series.ts";
import {
  kernelsTable,
  LIMIT_MEANING,
  requestsMeaning,
  requestsTable,
  rooflineTable,
} from "./speed_tables.ts";
import { stageLine } from "./stage_line.ts";
import { headlineTable } from "./tables.ts";
import { headlineCaption } from "./captions.ts";

/** The run in a sentence and what it was measured with. */
export function leadHtml(series: readonly Series[], run: RunData): string {
  const ok = run.cells.filter((cell) => cell.status === "ok").length;
  const failed = failedCells(run).length;
  const missing = missingOfSelected(run).length;
  const facts: [string, string][] = [
    ["Model", modelNames(run)],
    ["Engine", [...new Set(run.cells.map(engineName))].join(", ")],
    ["Machine", machineName(run)],
    [
      "Cells",
      [
        `${formatNumber(ok)} measured`,
        failed > 0 ? `${formatNumber(failed)} not ok` : "",
        missing > 0 ? `${formatNumber(missing)} missing` : "",
        notSelectedNote(run),
      ].filter((part) => part !== "").join(", "),
    ],
    ["Date", dates(run)],
    ["Commit", commits(run)],
  ];
  return `<p class="lead">${escapeHtml(headline(series, run))}</p>
<dl class="meta">${
    facts.filter(([, value]) => value !== "").map(([name, value]) =>
      `<div><dt>${name}</dt><dd>${escapeHtml(value)}</dd></div>`
    ).join("")
  }</dl>`;
}

/** Lines of missing cells that are shown unfolded. */
const OPEN_LINES = 12;

/** What could not be read, what is missing, which model was had and what was merged. */
export function warningsHtml(run: RunData): string {
  const lines = missingLines(run);
  return [
    ...run.problems.map((problem) =>
      `<p class="warning sans">${escapeHtml(problem)}</p>`
    ),
    ...[...modelChoices(run), ...mergeNotes(run)].map((note) =>
      `<p class="remark sans">${escapeHtml(note)}</p>`
    ),
    ...lines.length === 0 ? [] : [
      `<div class="warning sans"><p>Partial: ${
        escapeHtml(missingCells(run))
      }.</p><details class="print"${
        lines.length <= OPEN_LINES ? " open" : ""
      }><summary>Missing cells</summary><ul>${
        lines.map((line) => `<li>${escapeHtml(line)}</li>`).join("")
      }</ul></details></div>`,
    ],
  ].join("\n");
}

/**
 * All sections of a run.
 *
 * @param series Its series.
 * @param run The run.
 * @param figures Its figures.
 * @param number Numbers tables and figures.
 */
export function runSections(
  series: readonly Series[],
  run: RunData,
  figures: readonly Figure[],
  number: Counter,
): string {
  return [
    headlineSection(series, run, number),
    figures.length === 0 ? "" : "<h2>Figures</h2>",
    ...figures.map((figure) => figureHtml(figure, number)),
    speedSection(series, run, number),
    continuationsSection(series, protocol(run, { divergence: "all" })),
    checksSection(run, number),
    conversionSection(series, run, number),
    detailsSection(series, run, number),
    failedSection(run, number),
    provenanceSection(run),
  ].filter((part) => part !== "").join("\n");
}

function headlineSection(
  series: readonly Series[],
  run: RunData,
  number: Counter,
): string {
  const note = labelNote(series);
  return `<h2>Results</h2>
${
    tableHtml(
      "Results.",
      headlineCaption(series, run),
      headlineTable(series),
      number,
      "stack",
    )
  }
${note === "" ? "" : `<p class="caption below">${escapeHtml(note)}</p>`}`;
}

/** Whole requests, where variants are faster, the roofline, PyTorch and the time by kernel. */
function speedSection(
  series: readonly Series[],
  run: RunData,
  number: Counter,
): string {
  const requests = requestsTable(series);
  const crossovers = crossoverTable(series);
  const limits = rooflineTable(series);
  const kernels = kernelsTable(series);
  const peers = peersTable(run.peers);
  const ratios = peerRatiosTable(run.peers);
  const all = [requests, crossovers, limits, kernels, peers];
  if (all.every(({ rows }) => rows.length === 0)) return "";
  const speed = protocol(run, { speed: true });
  return [
    "<h2>Speed</h2>",
    requests.rows.length === 0 ? "" : tableHtml(
      "Whole requests.",
      `${requestsMeaning(run)} ${speed}`,
      requests,
      number,
    ),
    crossovers.rows.length === 0 ? "" : tableHtml(
      "Where variants are faster.",
      crossoverMeaning(series),
      crossovers,
      number,
    ),
    limits.rows.length === 0 ? "" : tableHtml(
      "Decoding speed against its limit.",
      `${LIMIT_MEANING} ${speed}`,
      limits,
      number,
    ),
    run.peers === undefined || peers.rows.length === 0 ? "" : tableHtml(
      "Decoding beside PyTorch.",
      `${PEERS_MEANING} ${peerProtocol(run.peers)}`,
      peers,
      number,
    ),
    ratios.rows.length === 0 ? "" : tableHtml(
      "MLA over the original on each side.",
      peerRatiosMeaning(run.peers),
      ratios,
      number,
    ),
    kernels.rows.length === 0 ? "" : foldedTable(
      "Time by kernel.",
      `One decode step, the dispatches of each kernel in a row. ${speed}`,
      kernels,
      number,
    ),
  ].filter((part) => part !== "").join("\n");
}

function checksSection(run: RunData, number: Counter): string {
  const table = checksTable(run);
  if (table.rows.length === 0) return "";
  const failed = run.checks.filter((check) => !check.ok).length;
  const verdict = failed === 0
    ? run.checks.length === 1
      ? "The expected number was reproduced within tolerance."
      : `All ${
        formatNumber(run.checks.length)
      } expected numbers were reproduced within tolerance.`
    : `${formatNumber(failed)} of ${
      formatNumber(run.checks.length)
    } expected numbers ${
      failed === 1 ? "was" : "were"
    } not reproduced within tolerance.`;
  return `<h2>Checks</h2>
${
    tableHtml(
      "Expected and measured.",
      `${verdict} ${checkProtocol(run)}`,
      table,
      number,
    )
  }`;
}

function conversionSection(
  series: readonly Series[],
  run: RunData,
  number: Counter,
): string {
  const table = conversionTable(series);
  if (table.rows.length === 0) return "";
  const machine = machineName(run);
  return `<h2>Conversions</h2>
${
    tableHtml(
      "Cost and kept energy.",
      `Wall time of each conversion, with the calibration’s share where it was not cached${
        machine === "" ? "" : `, on ${machine}`
      }. ${calibrationProtocol(run)}`,
      table,
      number,
    )
  }`;
}

/** Each seed, each context of the divergence, each cell. */
function detailsSection(
  series: readonly Series[],
  run: RunData,
  number: Counter,
): string {
  const seeds = seedsTable(series);
  const divergence = divergenceTable(series);
  const machine = machineName(run);
  return [
    "<h2>Details</h2>",
    seeds.rows.length === 0 ? "" : tableHtml(
      "Calibration seeds.",
      `Each seed draws its own calibration samples. ${
        protocol(run, { perplexity: "all", divergence: "all", speed: true })
      } ${calibrationProtocol(run)}`,
      seeds,
      number,
    ),
    divergence.rows.length === 0 || divergence.columns.length <= 3
      ? ""
      : tableHtml(
        "Divergence by window length.",
        protocol(run, { divergence: "all" }),
        divergence,
        number,
      ),
    foldedTable(
      "Every cell with its time and memory.",
      `Peak resident memory of the engine’s process${
        machine === "" ? "" : `, on ${machine}`
      }: of the cell alone where the system lets it be reset, else of the process since its start. Engine: ${
        [...new Set(run.cells.map(engineName))].join(", ")
      }.`,
      cellsTable(run),
      number,
    ),
  ].filter((part) => part !== "").join("\n");
}

function failedSection(run: RunData, number: Counter): string {
  const table = failedTable(run);
  if (table.rows.length === 0) return "";
  return `<h2>Cells without a result</h2>
${
    tableHtml(
      "Cells without a result.",
      "Out of memory is a result where a memory budget is part of the experiment.",
      table,
      number,
    )
  }`;
}

function provenanceSection(run: RunData): string {
  const environments = run.environments.map((environment, index) =>
    `<details class="print"><summary>Environment${
      run.environments.length > 1 ? ` ${index + 1}` : ""
    }</summary>${
      htmlTable(provenanceTable(environment), "provenance")
    }</details>`
  ).join("\n");
  const experiment = run.experimentText === undefined
    ? ""
    : `<details class="print"><summary>Experiment file, resolved</summary><pre>${
      escapeHtml(run.experimentText.trimEnd())
    }</pre></details>`;
  const paragraphs = [
    ...modelShapes(run),
    stageLine(run),
    ...commandLines(run).map((line) => `Command: ${line}`),
  ].filter((text) => text !== "");
  return `<h2>Provenance</h2>
${paragraphs.map((text) => `<p>${escapeHtml(text)}</p>`).join("\n")}
${experiment}
${environments}`;
}
