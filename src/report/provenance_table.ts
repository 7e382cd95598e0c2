// environment.json as rows: whatever it holds, since a field that a newer
// version of the suite records should not vanish from an older report.

import { formatBytes, formatSignificant } from "./format.ts";
import { isObject } from "./load.ts";
import type { Table } from "./table.ts";

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
  return [[path.join(" · "), leafText(path.at(-1) ?? "", value)]];
}

/** Sizes and rates with their units, no more digits than were measured. */
function leafText(name: string, value: unknown): string {
  if (typeof value !== "number") return value === null ? "–" : String(value);
  if (/bytes$/i.test(name)) return formatBytes(value);
  if (/gflops/i.test(name)) return `${formatSignificant(value)}\u00a0GFLOPS`;
  return Number.isInteger(value) ? String(value) : formatSignificant(value, 6);
}
