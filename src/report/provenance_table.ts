// environment.json as rows: whatever it holds, since a field that a newer
// version of the suite records should not vanish from an older report.

import { isObject } from "./load.ts";
import type { Table } from "./tables.ts";

/**
 * Lists the leaves of a JSON object with their paths.
 *
 * @param environment The parsed environment.json.
 * @returns A table of two columns.
 */
export function provenanceTable(
  environment: Readonly<Record<string, unknown>>,
): Table {
  return {
    columns: [
      { head: "Field", align: "left" },
      { head: "Value", align: "left" },
    ],
    rows: leaves(environment, []).map(([path, value]) => ({
      cells: [{ text: path }, { text: value }],
    })),
  };
}

function leaves(value: unknown, path: readonly string[]): [string, string][] {
  if (isObject(value)) {
    return Object.entries(value).flatMap(([key, item]) =>
      leaves(item, [...path, key])
    );
  }
  if (Array.isArray(value)) {
    return value.some((item) => typeof item === "object" && item !== null)
      ? value.flatMap((item, index) => leaves(item, [...path, String(index)]))
      : [[path.join(" · "), value.map(String).join(", ")]];
  }
  return [[path.join(" · "), String(value)]];
}
