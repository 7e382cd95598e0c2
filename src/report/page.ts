// The report as one HTML file that needs nothing else: plotly, data and style
// are inside, and its Content-Security-Policy forbids every request.

import plotly from "plotly.js-basic-dist-min/plotly-basic.min.js" with {
  type: "text",
};
import runtime from "./figure_runtime.js" with { type: "text" };
import css from "./page.css" with { type: "text" };
import tableCss from "./page_tables.css" with { type: "text" };
import script from "./page_script.js" with { type: "text" };
import tableScript from "./page_tables.js" with { type: "text" };
import type { Figure } from "./figure.ts";
import { makeFigures } from "./figures.ts";
import { escapeHtml, formatNumber } from "./format.ts";
import { headlineMeaning } from "./captions.ts";
import { joinRuns, type Joint, jointFigures, jointTitle } from "./joint.ts";
import type { NamedRun, RunData } from "./load.ts";
import { type Counter, counter, figureHtml, tableHtml } from "./page_parts.ts";
import { leadHtml, runSections, warningsHtml } from "./page_sections.ts";
import { type Palette, PALETTES } from "./palette.ts";
import { paretoMeaning } from "./pareto.ts";
import { headlineProtocol } from "./protocol.ts";
import { collectSeries } from "./series.ts";
import { headlineTable } from "./tables.ts";

/**
 * Renders the report page of one run.
 *
 * @param run The run, of one folder or of several merged.
 * @returns A complete HTML document.
 */
export async function renderPage(run: RunData): Promise<string> {
  const series = collectSeries(run);
  const figures = makeFigures(series, run);
  const title = run.experiments.join(", ");
  return await documentHtml(
    title,
    `${headerHtml("experiment", title, leadHtml(series, run))}
${warningsHtml(run)}
${runSections(series, run, figures, counter())}`,
    figures,
    run.runIds,
  );
}

/**
 * Renders several runs side by side: a joint table and figures, then each run.
 *
 * @param runs Two or more, with different names.
 * @returns A complete HTML document.
 */
export async function renderJointPage(
  runs: readonly NamedRun[],
): Promise<string> {
  const joint = joinRuns(runs);
  const number = counter();
  const shared = jointFigures(joint);
  const figures = [...shared];
  const title = `${formatNumber(runs.length)} runs compared`;
  const head = `<p class="lead">${escapeHtml(jointTitle(runs))}.</p>
<fieldset class="runs sans"><legend>Runs shown</legend>${
    runs.map(({ name }) =>
      `<label><input type="checkbox" checked data-select="${
        escapeHtml(name)
      }"> ${escapeHtml(name)}</label>`
    ).join("")
  }</fieldset>`;
  // The joint part is numbered first.
  const first = jointSection(joint, shared, number);
  const sections = runs.map(({ name, run }, i) => {
    const series = collectSeries(run);
    const own = makeFigures(series, run).map((figure) => ({
      ...figure,
      id: `run${i + 1}-${figure.id}`,
    }));
    const text = `<section class="run" id="run${i + 1}" data-run="${
      escapeHtml(name)
    }"><h1>${escapeHtml(name)}</h1>
${leadHtml(series, run)}
${warningsHtml(run)}
${runSections(series, run, own, number)}</section>`;
    return { text, own };
  });
  figures.push(...sections.flatMap(({ own }) => own));
  return await documentHtml(
    title,
    `${headerHtml("several runs", title, head)}
${first}
${sections.map(({ text }) => text).join("\n")}`,
    figures,
    joint.run.runIds,
  );
}

function jointSection(
  joint: Joint,
  figures: readonly Figure[],
  number: Counter,
): string {
  const { series, run, front, differences } = joint;
  const caption = [
    ...differences,
    headlineMeaning(series),
    headlineProtocol(series, run),
    paretoMeaning(front),
  ].filter((part) => part !== "").join(" ");
  return `<h2>All runs</h2>
${
    tableHtml(
      "All runs.",
      caption,
      headlineTable(series, front),
      number,
      "stack",
    )
  }
${figures.map((figure) => figureHtml(figure, number)).join("\n")}`;
}

function headerHtml(kind: string, title: string, lead: string): string {
  return `<header>
<button id="theme" type="button" hidden>Theme: auto</button>
<p class="kicker sans">Multi-head latent attention · ${kind}</p>
<h1>${escapeHtml(title)}</h1>
${lead}
</header>`;
}

async function documentHtml(
  title: string,
  body: string,
  figures: readonly Figure[],
  runIds: readonly string[],
): Promise<string> {
  const scripts = [plotly, `${runtime}\n${script}`, tableScript];
  const hashes = await Promise.all(scripts.map(sha256Base64));
  const policy = [
    "default-src 'none'",
    `script-src ${hashes.map((hash) => `'sha256-${hash}'`).join(" ")}`,
    "style-src 'unsafe-inline'",
    "img-src data: blob:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
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
${tableCss}
${css}</style>
</head>
<body>
<main>
${body}
<footer>Rebuilt from the cells of run${runIds.length === 1 ? "" : "s"} ${
    escapeHtml(runIds.join(", "))
  }. The page makes no network requests.</footer>
</main>
<script type="application/json" id="report-data">${
    embedJson({ figures: figures.map(drawable), palettes: PALETTES })
  }</script>
${scripts.map((text) => `<script>${text}</script>`).join("\n")}
</body>
</html>
`;
}

/** What figure_runtime.js needs of a figure. */
export function drawable(figure: Figure): Record<string, unknown> {
  const { id, height, data, layout, labels, key } = figure;
  const isNamed = figure.isNamed === true || labels.length >= key.length;
  return {
    id,
    height,
    data,
    layout,
    labels,
    keyNeeded: figure.needsKey === true || !isNamed,
  };
}

/** JSON that cannot end its script element or open a comment in it. */
export function embedJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) =>
      `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
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
