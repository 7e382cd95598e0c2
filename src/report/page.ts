// The report as one HTML file that needs nothing else: plotly, data and style
// are inside, and its Content-Security-Policy forbids every request.

import plotly from "plotly.js-basic-dist-min/plotly-basic.min.js" with {
  type: "text",
};
import runtime from "./figure_runtime.js" with { type: "text" };
import css from "./page.css" with { type: "text" };
import script from "./page_script.js" with { type: "text" };
import {
  checksTable,
  conversionTable,
  failedCells,
  failedTable,
} from "./detail_tables.ts";
import type { Figure } from "./figure.ts";
import { makeFigures } from "./figures.ts";
import { escapeHtml, formatNumber } from "./format.ts";
import { headline } from "./headline.ts";
import { htmlTable, seriesMark } from "./html_parts.ts";
import type { RunData } from "./load.ts";
import { type Palette, PALETTES } from "./palette.ts";
import {
  calibrationProtocol,
  dates,
  headlineProtocol,
  labelNote,
  machineName,
  modelNames,
  modelShapes,
} from "./protocol.ts";
import {
  commandLines,
  commits,
  memoryGrowth,
  missingOfSelected,
  notSelectedNote,
} from "./run_facts.ts";
import { provenanceTable } from "./provenance_table.ts";
import { collectSeries, engineName, type Series } from "./series.ts";
import { stageLine } from "./stage_line.ts";
import type { Table } from "./table.ts";
import { headlineTable } from "./tables.ts";

/**
 * Renders the report page.
 *
 * @param run The run, or several merged.
 * @returns A complete HTML document.
 */
export async function renderPage(run: RunData): Promise<string> {
  const series = collectSeries(run);
  const figures = makeFigures(series, run);
  const scripts = [plotly, `${runtime}\n${script}`];
  const hashes = await Promise.all(scripts.map(sha256Base64));
  const policy = [
    "default-src 'none'",
    `script-src ${hashes.map((hash) => `'sha256-${hash}'`).join(" ")}`,
    "style-src 'unsafe-inline'",
    "img-src data: blob:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const title = run.experiments.join(", ");
  const number = counter();
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>
${themeCss()}
${css}</style>
</head>
<body>
<main>
${header(title, series, run)}
${warnings(run)}
${headlineSection(series, run, number)}
${figures.length === 0 ? "" : `<h2>Figures</h2>`}
${figures.map((figure) => figureHtml(figure, number)).join("\n")}
${checksSection(run, number)}
${conversionSection(series, run, number)}
${failedSection(run, number)}
${provenanceSection(run)}
<footer>Rebuilt from the cells of run ${
    escapeHtml(run.runIds.join(", "))
  }. The page makes no network requests.</footer>
</main>
<script type="application/json" id="report-data">${
    embedJson({ figures: figures.map(drawable), palettes: PALETTES })
  }</script>
<script>${scripts[0]}</script>
<script>${scripts[1]}</script>
</body>
</html>
`;
}

/** What figure_runtime.js needs of a figure. */
export function drawable(figure: Figure): Record<string, unknown> {
  const { id, height, data, layout, labels, key } = figure;
  const isNamed = figure.isNamed === true || labels.length >= key.length;
  return { id, height, data, layout, labels, keyNeeded: !isNamed };
}

/** JSON that cannot end its script element or open a comment in it. */
export function embedJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) =>
      `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function header(
  title: string,
  series: readonly Series[],
  run: RunData,
): string {
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
  return `<header>
<button id="theme" type="button" hidden>Theme: auto</button>
<p class="kicker sans">Multi-head latent attention · experiment</p>
<h1>${escapeHtml(title)}</h1>
<p class="lead">${escapeHtml(headline(series, run))}</p>
<dl class="meta">${
    facts.filter(([, value]) => value !== "").map(([name, value]) =>
      `<div><dt>${name}</dt><dd>${escapeHtml(value)}</dd></div>`
    ).join("")
  }</dl>
</header>`;
}

function warnings(run: RunData): string {
  return run.problems.map((problem) =>
    `<p class="warning sans">${escapeHtml(problem)}</p>`
  ).join("\n");
}

function headlineSection(
  series: readonly Series[],
  run: RunData,
  number: Counter,
): string {
  const caption = [
    "Cache, quality and speed of every variant; ± is one standard error over windows, ΔNLL the mean difference to the baseline over the same windows with its 95 % interval (paired, Student’s t), × the speed relative to the baseline.",
    headlineProtocol(series, run),
    memoryGrowth(run),
  ].filter((part) => part !== "").join(" ");
  const note = labelNote(series);
  return `<h2>Results</h2>
${tableHtml("Results.", caption, headlineTable(series), number, "stack")}
${note === "" ? "" : `<p class="caption below">${escapeHtml(note)}</p>`}`;
}

function figureHtml(figure: Figure, number: Counter): string {
  const table = figure.table === undefined
    ? ""
    : `<details><summary>Numbers of this figure</summary>${
      htmlTable(figure.table)
    }</details>`;
  return `<figure id="${figure.id}">
<figcaption><b>Figure ${number("figure")}. ${escapeHtml(figure.title)}.</b> ${
    escapeHtml(figure.caption)
  }</figcaption>
<div class="plot" id="plot-${figure.id}" role="img" aria-label="${
    escapeHtml(figure.title)
  }"></div>
<ul class="key">${
    figure.key.map((one) =>
      `<li>${seriesMark(one)}${escapeHtml(one.label)}</li>`
    ).join("")
  }</ul>
${table}
</figure>`;
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
${tableHtml("Expected and measured.", verdict, table, number)}`;
}

function conversionSection(
  series: readonly Series[],
  run: RunData,
  number: Counter,
): string {
  const table = conversionTable(series);
  if (table.rows.length === 0) return "";
  return `<h2>Conversions</h2>
${
    tableHtml(
      "Cost and kept energy.",
      `Wall time of each conversion, with the calibration’s share where it was not cached. ${
        calibrationProtocol(run)
      }`,
      table,
      number,
    )
  }`;
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

function tableHtml(
  title: string,
  caption: string,
  table: Table,
  number: Counter,
  className = "",
): string {
  return `<p class="caption"><b>Table ${number("table")}. ${title}</b> ${
    escapeHtml(caption)
  }</p>
${htmlTable(table, className)}`;
}

type Counter = (kind: "figure" | "table") => number;

function counter(): Counter {
  const last = { figure: 0, table: 0 };
  return (kind) => ++last[kind];
}

function themeCss(): string {
  const variables = (palette: Palette) =>
    Object.entries(palette).map(([role, value]) => `--${role}:${value}`).join(
      ";",
    );
  const light = `color-scheme:light;${variables(PALETTES.light)}`;
  const dark = `color-scheme:dark;${variables(PALETTES.dark)}`;
  return `:root{${light}}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){${dark}}}
:root[data-theme=dark]{${dark}}
@media print{:root:root[data-theme]{${light}}}`;
}

async function sha256Base64(text: string): Promise<string> {
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(text),
  );
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}
