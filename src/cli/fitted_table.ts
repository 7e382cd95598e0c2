// Tables for a terminal that is narrower than they are.

import { formatTable } from "./terminal.ts";

/**
 * A table in as many blocks of columns, one under the other, as a terminal's width
 * needs; its lines would break otherwise. A block leaves out rows that have nothing
 * in it. Files and pipes get one block.
 *
 * @param header One a column.
 * @param rows Cells, as text.
 * @param keys The first columns, which each block repeats.
 * @param columns Width of the terminal. @default that of standard output, unlimited where it is no terminal
 */
export function fitTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  keys: number,
  columns: number = outputColumns(),
): string {
  const widths = header.map((title, i) =>
    2 + Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0))
  );
  const keyWidth = widths.slice(0, keys).reduce((sum, width) => sum + width, 0);
  const blocks: number[][] = [];
  let left = 0;
  for (const [i, width] of widths.entries()) {
    if (i < keys) continue;
    // Two spaces after the last column need no place.
    if (blocks.length === 0 || width > left + 2) {
      blocks.push([]);
      left = columns - keyWidth;
    }
    blocks.at(-1)!.push(i);
    left -= width;
  }
  if (blocks.length <= 1) return formatTable(header, rows);
  return blocks.map((block) => {
    const pick = (cells: readonly string[]) => [
      ...cells.slice(0, keys),
      ...block.map((i) => cells[i] ?? ""),
    ];
    // A row that has nothing here only makes the block longer.
    const shown = rows.filter((row) => block.some((i) => !isEmpty(row[i])));
    return formatTable(pick(header), shown.map(pick));
  }).join("\n\n");
}

function isEmpty(cell: string | undefined): boolean {
  return cell === undefined || cell === "" || cell === "–";
}

function outputColumns(): number {
  if (!Deno.stdout.isTerminal()) return Infinity;
  try {
    const { columns } = Deno.consoleSize();
    // Some terminals do not say how wide they are.
    return columns > 0 ? columns : Infinity;
  } catch {
    return Infinity;
  }
}
