// Tables as files: Markdown and LaTeX for readers, CSV and JSON for programs.

import { InputError } from "../base/errors.ts";
import { csvField } from "../experiment/assemble.ts";
import { escapeMarkdown } from "./format.ts";
import { latexTable } from "./latex.ts";
import type { NamedTable, Protocol } from "./named_tables.ts";
import { markdownTable } from "./summary.ts";
import { nameOf, type Value, valueOf } from "./table.ts";

/** The formats, with the ending of their files. */
export const TABLE_FORMATS = {
  md: "md",
  csv: "csv",
  json: "json",
  latex: "tex",
} as const;

/** A name of TABLE_FORMATS. */
export type TableFormat = keyof typeof TABLE_FORMATS;

/**
 * Reads a list of formats, "md,csv".
 *
 * @param text What the user gave.
 * @throws {InputError} If one is unknown.
 */
export function parseFormats(text: string): TableFormat[] {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names) {
    if (Object.hasOwn(TABLE_FORMATS, name)) continue;
    throw new InputError(
      `option --format: found ${name}; allowed: ${
        Object.keys(TABLE_FORMATS).join(", ")
      }, joined by commas`,
    );
  }
  return [...new Set(names)] as TableFormat[];
}

/** A table in one format; ends with a newline. */
export function formatNamedTable(
  table: NamedTable,
  format: TableFormat,
): string {
  switch (format) {
    case "md":
      return `${markdownTable(table.table)}\n\n*${
        escapeMarkdown(`${table.title}. ${table.caption}`)
      }*\n`;
    case "csv":
      return toCsv(table);
    case "json":
      return toJson(table);
    case "latex":
      return latexTable(table);
  }
}

/** Names of the fields of every row, in the order of the columns. */
function fieldNames({ table }: NamedTable): string[] {
  return table.columns.flatMap((column, i) => [
    nameOf(column),
    ...new Set(
      table.rows.flatMap(({ cells }) =>
        Object.entries(cells[i]?.fields ?? {}).filter(([, value]) =>
          value !== undefined
        ).map(([name]) => name)
      ),
    ),
  ]);
}

/** The rows as programs read them: units in names, null where nothing was measured. */
function records(named: NamedTable): Record<string, Value>[] {
  const names = fieldNames(named);
  const { columns, rows } = named.table;
  return rows.map(({ cells }) => {
    const found = new Map<string, Value>();
    for (const [i, column] of columns.entries()) {
      const cell = cells[i];
      if (cell === undefined) continue;
      found.set(nameOf(column), valueOf(cell));
      for (const [name, value] of Object.entries(cell.fields ?? {})) {
        found.set(
          name,
          value === undefined || !Number.isFinite(value) ? null : value,
        );
      }
    }
    return Object.fromEntries(
      names.map((name) => [name, found.get(name) ?? null]),
    );
  });
}

function protocolFor(
  { protocols }: NamedTable,
  record: Readonly<Record<string, Value>>,
): Protocol | undefined {
  return protocols.get("") ?? protocols.get(String(record["run"]));
}

/** RFC 4180; the protocol is repeated in every row, since CSV has no place of its own for it. */
function toCsv(named: NamedTable): string {
  const rows = records(named).map((record) => {
    const protocol = Object.entries(protocolFor(named, record) ?? {}).map((
      [name, value],
    ) => [PROTOCOL_NAMES[name] ?? name, value] as const);
    return { ...record, ...Object.fromEntries(protocol) };
  });
  const names = Object.keys(rows[0] ?? {});
  return [names, ...rows.map((row) => Object.values(row))].map((cells) =>
    cells.map(csvField).join(",") + "\r\n"
  ).join("");
}

/** Names that no column of a table has. */
const PROTOCOL_NAMES: Readonly<Record<string, string>> = {
  experiment: "protocolExperiment",
  model: "protocolModel",
  text: "protocolText",
  dtype: "protocolDtype",
  engine: "protocolEngine",
  machine: "protocolMachine",
  commit: "protocolCommit",
  calibration: "protocolCalibration",
};

function toJson(named: NamedTable): string {
  const { name, title, caption, protocols, table } = named;
  const single = protocols.get("");
  return JSON.stringify(
    {
      table: name,
      title,
      caption,
      ...(single === undefined
        ? { protocols: Object.fromEntries(protocols) }
        : { protocol: single }),
      columns: table.columns.map((column) => ({
        name: nameOf(column),
        heading: column.short ??
          (column.group === undefined
            ? column.head
            : `${column.group}: ${column.head}`),
        ...(column.about === undefined ? {} : { about: column.about }),
      })),
      rows: records(named),
    },
    null,
    2,
  ) + "\n";
}
