// The tables that `experiment` prints: the plan, and what was measured.

import type { Check } from "../experiment/assemble.ts";
import { formatByteSize } from "../experiment/byte_size.ts";
import type { CellEstimate } from "../experiment/estimate.ts";
import type { PlannedCell } from "../experiment/plan.ts";
import type { CellRecord } from "../experiment/record.ts";
import { formatSeconds, formatTable } from "./terminal.ts";

/**
 * The plan as a table.
 *
 * @param cells In plan order.
 * @param estimates Of the same cells.
 * @param present Ids of cells that need no more work.
 */
export function planTable(
  cells: readonly PlannedCell[],
  estimates: readonly CellEstimate[],
  present: ReadonlySet<string>,
): string {
  return formatTable(
    [
      "cell",
      "variant",
      "measure",
      "context",
      "est. cache B/token",
      "est. memory",
      "est. time",
      "state",
    ],
    cells.map((cell, i) => {
      const estimate = estimates[i]!;
      const done = present.has(cell.cell);
      return [
        cell.cell,
        cell.variantLabel,
        cell.measure,
        cell.contextTokens === undefined ? "-" : String(cell.contextTokens),
        String(estimate.cacheBytesPerToken),
        formatByteSize(estimate.memoryBytes),
        done ? "-" : formatSeconds(estimate.seconds),
        done ? "present" : "to measure",
      ];
    }),
  );
}

/**
 * What was measured: a row a variant and context.
 *
 * @param records In plan order, with deltas.
 */
export function resultTable(records: readonly CellRecord[]): string {
  const rows = new Map<string, Map<string, CellRecord>>();
  for (const record of records) {
    if (record.measure === "conversion" && record.status === "ok") continue;
    const key = `${record.variantLabel}\n${record.contextTokens ?? ""}`;
    const row = rows.get(key) ?? new Map<string, CellRecord>();
    row.set(record.measure, record);
    rows.set(key, row);
  }
  const has = (measure: string) =>
    records.some((record) => record.measure === measure);
  const columns: [string, (row: Map<string, CellRecord>) => string][] = [];
  if (has("perplexity")) {
    columns.push(
      [
        "perplexity",
        (row) => cellText(row.get("perplexity"), "value", (v) => v.toFixed(4)),
      ],
      ["dNLL [95 % CI]", (row) => deltaText(row.get("perplexity"))],
    );
  }
  if (has("cache")) {
    columns.push(
      [
        "numbers/token/layer",
        (row) =>
          cellText(row.get("cache"), "elementsPerTokenPerLayer", trimmed),
      ],
      [
        "cache B/token",
        (row) => cellText(row.get("cache"), "bytesPerToken", trimmed),
      ],
      ["reduction", (row) =>
        cellText(
          row.get("cache"),
          "reduction",
          (v) => `${(100 * v).toFixed(2)} %`,
        )],
    );
  }
  if (has("throughput")) {
    columns.push(
      ["batch", (row) => cellText(row.get("throughput"), "batchSize", trimmed)],
      [
        "prefill tok/s",
        (row) =>
          cellText(row.get("throughput"), "prefillTokensPerSecond", rate),
      ],
      [
        "decode tok/s",
        (row) => cellText(row.get("throughput"), "decodeTokensPerSecond", rate),
      ],
    );
  }
  return formatTable(
    ["variant", "context", ...columns.map(([title]) => title)],
    [...rows].map(([key, row]) => {
      const [label, context] = key.split("\n") as [string, string];
      return [label, context || "-", ...columns.map(([, text]) => text(row))];
    }),
  );
}

function cellText(
  record: CellRecord | undefined,
  field: string,
  format: (value: number) => string,
): string {
  if (record === undefined) return "-";
  const value = (record.metrics as Record<string, unknown> | undefined)
    ?.[field];
  return typeof value === "number" ? format(value) : record.status;
}

function deltaText(record: CellRecord | undefined): string {
  if (record?.measure !== "perplexity" || record.metrics === undefined) {
    return "-";
  }
  const { deltaNll, deltaNllCi95 } = record.metrics;
  if (deltaNll === undefined) return "-";
  const sign = (value: number) =>
    `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(4)}`;
  return deltaNllCi95 === undefined
    ? sign(deltaNll)
    : `${sign(deltaNll)} [${sign(deltaNllCi95[0])}, ${sign(deltaNllCi95[1])}]`;
}

function trimmed(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

function rate(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

/**
 * Expected beside measured.
 *
 * @param checks Of the run.
 */
export function checkTable(checks: readonly Check[]): string {
  return formatTable(
    [
      "variant",
      "context",
      "metric",
      "expected",
      "measured",
      "difference",
      "allowed",
      "ok",
      "source",
    ],
    checks.map((check) => [
      check.variantLabel,
      check.contextTokens === undefined ? "-" : String(check.contextTokens),
      check.metric,
      significant(check.expected),
      significant(check.measured),
      significant(check.difference),
      significant(check.tolerance),
      check.ok ? "yes" : `NO${check.reason ? `: ${check.reason}` : ""}`,
      check.source,
    ]),
  );
}

function significant(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(6);
}
