// Pieces of the page: tables and the mark that ties a row to a figure's color.

import { escapeHtml } from "./format.ts";
import type { Series } from "./series.ts";
import { type Column, type Row, type Table, valueOf } from "./table.ts";

/**
 * Renders a table; every text is escaped.
 *
 * @param table The table.
 * @param className Class of the table element.
 * @returns HTML, in a box that scrolls sideways by itself where it must.
 */
export function htmlTable(table: Table, className = ""): string {
  const body = table.rows.map((row) => htmlRow(row, table.columns)).join("\n");
  return `<div class="scroll" tabindex="0"><table class="${className}">
<thead>${htmlHead(table.columns)}</thead>
<tbody>
${body}
</tbody></table></div>`;
}

/** A short stroke with the series' symbol, in its color, as in the figures. */
export function seriesMark(series: Series): string {
  const { color, symbol, dash } = series.style;
  const pattern = {
    solid: "",
    dash: "4 2",
    dot: "1.5 2",
    dashdot: "4 2 1 2",
    longdash: "7 2",
    longdashdot: "7 2 1 2",
  }[dash] ?? "";
  return `<svg class="mark" viewBox="0 0 22 12" aria-hidden="true" style="color:var(--${color})"><path d="M0 6H22" stroke="currentColor" stroke-width="1.6"${
    pattern === "" ? "" : ` stroke-dasharray="${pattern}"`
  }/>${SHAPES[symbol] ?? SHAPES["circle"]}</svg>`;
}

const SHAPES: Readonly<Record<string, string>> = {
  circle: '<circle cx="11" cy="6" r="4" fill="currentColor"/>',
  square:
    '<rect x="7.3" y="2.3" width="7.4" height="7.4" fill="currentColor"/>',
  diamond: '<path d="M11 1 16 6 11 11 6 6Z" fill="currentColor"/>',
  "triangle-up": '<path d="M11 1.4 15.6 9.4H6.4Z" fill="currentColor"/>',
  cross:
    '<path d="M9.4 1.5h3.2v2.9h2.9v3.2h-2.9v2.9H9.4V7.6H6.5V4.4h2.9Z" fill="currentColor"/>',
  x: '<path d="m7.3 4 1.7-1.7 2 2 2-2L14.7 4l-2 2 2 2L13 9.7l-2-2-2 2L7.3 8l2-2Z" fill="currentColor"/>',
  star:
    '<path d="m11 .4 1.6 3.7 4 .4-3 2.7.9 3.9L11 9 7.5 11.1l.9-3.9-3-2.7 4-.4Z" fill="currentColor"/>',
};

/** Characters of a cell that is not wrapped. */
const SHORT = 18;

function htmlHead(columns: readonly Column[]): string {
  const head = columns.map(({ align, head, about }) =>
    `<th scope="col" class="${align}"${
      about === undefined ? "" : ` title="${escapeHtml(about)}"`
    }>${escapeHtml(head)}</th>`
  ).join("");
  if (columns.every((column) => column.group === undefined)) {
    return `<tr>${head}</tr>`;
  }
  let groups = "";
  for (let i = 0; i < columns.length;) {
    const group = columns[i]!.group;
    let span = 1;
    while (
      group !== undefined && columns[i + span] !== undefined &&
      columns[i + span]!.group === group
    ) span++;
    groups += group === undefined
      ? "<td></td>"
      : `<th scope="colgroup" class="group" colspan="${span}"><span>${
        escapeHtml(group)
      }</span></th>`;
    i += span;
  }
  return `<tr>${groups}</tr><tr>${head}</tr>`;
}

function htmlRow(row: Row, columns: readonly Column[]): string {
  const cells = row.cells.map((cell, index) => {
    const { align, head } = columns[index]!;
    const classes: string[] = [align];
    if (index === 0) classes.push("name");
    if (head === "Result" || head === "Status") classes.push("status");
    // A word or two need no room to wrap in.
    if (cell.text.length <= SHORT) classes.push("short");
    const mark = index === 0 && row.series !== undefined
      ? seriesMark(row.series)
      : "";
    const note = cell.note === undefined
      ? ""
      : ` <span class="note">${escapeHtml(cell.note)}</span>`;
    const value = valueOf(cell);
    const sorted = typeof value === "number"
      ? ` data-value="${value}"`
      : value === null
      ? ' data-value=""'
      : "";
    return `<td class="${classes.join(" ")}"${sorted}>${mark}${
      escapeHtml(cell.text)
    }${note}</td>`;
  }).join("");
  const run = row.series?.runName;
  return `<tr class="${row.tone ?? ""}"${
    run === undefined ? "" : ` data-run="${escapeHtml(run)}"`
  }>${cells}</tr>`;
}
