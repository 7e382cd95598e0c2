// Pieces that every section of the page is made of: numbered tables and figures
// with their captions.

import type { Figure } from "./figure.ts";
import { escapeHtml } from "./format.ts";
import { htmlTable, seriesMark } from "./html_parts.ts";
import type { Table } from "./table.ts";

/** Numbers figures and tables over the whole page. */
export type Counter = (kind: "figure" | "table") => number;

/** A counter that starts with 1. */
export function counter(): Counter {
  const last = { figure: 0, table: 0 };
  return (kind) => ++last[kind];
}

/**
 * A numbered table below its caption.
 *
 * @param title Ends with a point.
 * @param caption What the columns mean and how they were measured; plain text.
 * @param table The table.
 * @param number Numbers it.
 * @param className Class of the table element.
 */
export function tableHtml(
  title: string,
  caption: string,
  table: Table,
  number: Counter,
  className = "",
): string {
  return `<div class="tabled"><p class="caption"><b>Table ${number("table")}. ${
    escapeHtml(title)
  }</b> ${escapeHtml(caption)}</p>
${htmlTable(table, className)}</div>`;
}

/** A numbered table that opens on demand, and in print. */
export function foldedTable(
  title: string,
  caption: string,
  table: Table,
  number: Counter,
): string {
  return `<details><summary>${escapeHtml(title.replace(/\.$/, ""))}</summary>${
    tableHtml(title, caption, table, number)
  }</details>`;
}

/** A figure with its caption, buttons to save it, key and numbers. */
export function figureHtml(figure: Figure, number: Counter): string {
  const table = figure.table === undefined
    ? ""
    : `<details><summary>Numbers of this figure</summary>${
      htmlTable(figure.table)
    }</details>`;
  const title = escapeHtml(figure.title);
  const save = (format: string) =>
    `<button type="button" class="save" data-figure="${figure.id}" data-format="${format.toLowerCase()}" aria-label="Save ${title} as ${format}">${format}</button>`;
  return `<figure id="${figure.id}">
<figcaption><b>Figure ${number("figure")}. ${title}.</b> ${
    escapeHtml(figure.caption)
  }</figcaption>
<div class="plot" id="plot-${figure.id}" role="img" aria-label="${title}"></div>
<ul class="key">${
    figure.key.map((one) =>
      `<li${
        one.runName === undefined
          ? ""
          : ` data-run="${escapeHtml(one.runName)}"`
      }>${seriesMark(one)}${escapeHtml(one.label)}</li>`
    ).join("")
  }</ul>
<p class="saves sans" hidden>Save as ${save("SVG")} ${save("PNG")}</p>
${table}
</figure>`;
}
