// Tables of the documents that are written from the code.

import { escapeMarkdown } from "../report/format.ts";
import { codeSpan } from "../report/summary.ts";

/** What a cell shows: text, or a name or value in code. */
export type DocCell = string | { readonly code: string } | {
  readonly markdown: string;
};

/**
 * A table of GitHub Markdown.
 *
 * @param head One a column.
 * @param rows As many cells each.
 */
export function docTable(
  head: readonly string[],
  rows: readonly (readonly DocCell[])[],
): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(head),
    line(head.map(() => "---")),
    ...rows.map((row) => line(row.map(cellText))),
  ].join("\n");
}

function cellText(cell: DocCell): string {
  // Code within a sentence stays code.
  if (typeof cell === "string") {
    return escapeMarkdown(cell).replaceAll("\\`", "`");
  }
  if ("markdown" in cell) return cell.markdown;
  // GitHub splits a table's row at a bar even within code.
  return codeSpan(cell.code).replaceAll("|", "\\|");
}
