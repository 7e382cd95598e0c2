// A table as data: texts for readers, and beside them the values that sorting,
// CSV and JSON use.

import type { Series } from "./series.ts";

/** A table, caption aside. */
export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

/** A column; neighbors of one group share a heading. */
export interface Column {
  readonly group?: string;
  readonly head: string;
  /** Group and head in few words, where a table has one line of headings. */
  readonly short?: string;
  /** What programs call it, its unit included: "cacheBytesPerToken". @default head in camel case */
  readonly name?: string;
  /** What the number is, for a reader who points at the heading. */
  readonly about?: string;
  readonly align: "left" | "right";
}

/**
 * A column of numbers.
 *
 * @param head Its heading.
 * @param name What programs call it.
 * @param rest What else is said of it.
 */
export function right(
  head: string,
  name: string,
  rest: Pick<Column, "about" | "group"> = {},
): Column {
  return { ...rest, head, name, align: "right" };
}

/** A row of as many cells as there are columns. */
export interface Row {
  readonly cells: readonly TableCell[];
  /** The series that the row describes; its mark is shown. */
  readonly series?: Series;
  readonly tone?: "baseline" | "bad";
}

/** A value as programs read it; null where nothing was measured. */
export type Value = string | number | boolean | null;

/** A number and what qualifies it: an error, an interval, a ratio. */
export interface TableCell {
  readonly text: string;
  readonly note?: string;
  /** The value behind the text. @default the text, null for a dash */
  readonly value?: Value;
  /** The numbers behind the note, by name with unit. */
  readonly fields?: Readonly<Record<string, number | undefined>>;
}

/** What a cell says to a program. */
export function valueOf(cell: TableCell): Value {
  if (cell.value !== undefined) {
    return typeof cell.value === "number" && !Number.isFinite(cell.value)
      ? null
      : cell.value;
  }
  return cell.text === "–" || cell.text === "" ? null : cell.text;
}

/** What programs call a column. */
export function nameOf({ name, head }: Column): string {
  return name ?? head.replace(
    /[^A-Za-z0-9]+([A-Za-z0-9]?)/g,
    (_, next: string) => next.toUpperCase(),
  ).replace(/^./, (first) => first.toLowerCase());
}

/**
 * A cell of a number that may be missing.
 *
 * @param value The number.
 * @param format Makes its text; is given undefined where there is none.
 */
export function numberCell(
  value: number | undefined,
  format: (value: number | undefined) => string,
): TableCell {
  return { text: format(value), value: value ?? null };
}
