// The tables that `experiment` prints: the plan, and what was measured.

import type { Check } from "../experiment/assemble.ts";
import { formatByteSize } from "../experiment/byte_size.ts";
import type { CellEstimate } from "../experiment/estimate.ts";
import type { PlannedCell } from "../experiment/plan.ts";
import type { CellRecord, ThroughputMetrics } from "../experiment/record.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import { checksTable } from "../report/detail_tables.ts";
import {
  formatDelta,
  formatNumber,
  formatPercent,
  formatPerplexity,
  formatPerplexityError,
  formatRate,
  formatSignificant,
} from "../report/format.ts";
import { fitTable } from "./fitted_table.ts";
import { formatSeconds } from "./terminal.ts";

/**
 * The plan as a table.
 *
 * @param cells In plan order.
 * @param estimates Of the same cells.
 * @param noWork Of cells that need no work, by id: why.
 */
export function planTable(
  cells: readonly PlannedCell[],
  estimates: readonly CellEstimate[],
  noWork: ReadonlyMap<string, string>,
): string {
  const hasLoads = cells.some(({ load }) => load !== undefined);
  return fitTable(
    [
      "cell",
      "variant",
      "measure",
      "context",
      ...hasLoads ? ["load"] : [],
      "est. cache B/token",
      "est. memory",
      "est. time",
      "state",
    ],
    cells.map((cell, i) => {
      const estimate = estimates[i]!;
      const why = noWork.get(cell.cell);
      return [
        cell.cell,
        cell.variantLabel,
        cell.measure,
        cell.contextTokens === undefined ? "–" : String(cell.contextTokens),
        ...hasLoads
          ? [cell.load === undefined ? "–" : loadText(cell.load)]
          : [],
        String(estimate.cacheBytesPerToken),
        formatByteSize(estimate.memoryBytes),
        why === undefined ? formatSeconds(estimate.seconds) : "–",
        why ?? "to measure",
      ];
    }),
    1,
  );
}

/**
 * What was measured: a row a variant and context, in the report's words.
 *
 * @param records In plan order, with deltas.
 * @param baseline Label or method of the variant that others are compared with.
 */
export function resultTable(
  records: readonly CellRecord[],
  baseline: string,
): string {
  const rows = new Map<string, Map<string, CellRecord>>();
  for (const record of records) {
    if (record.measure === "conversion" && record.status === "ok") continue;
    const load = record.load === undefined ? "" : loadText(record.load);
    const key = `${record.variantLabel}\n${
      record.contextTokens ?? ""
    }\n${load}`;
    const row = rows.get(key) ?? new Map<string, CellRecord>();
    row.set(record.measure, record);
    rows.set(key, row);
  }
  const has = (measure: string) =>
    records.some((record) => record.measure === measure);
  const columns: [string, (row: Map<string, CellRecord>) => string][] = [];
  if (has("cache")) {
    columns.push(
      [
        "cached numbers/token/layer",
        (row) =>
          cellText(row.get("cache"), "elementsPerTokenPerLayer", trimmed),
      ],
      [
        "cache bytes/token",
        (row) => cellText(row.get("cache"), "bytesPerToken", trimmed),
      ],
      ["cache change", (row) => changeText(row.get("cache"), baseline)],
    );
  }
  if (has("perplexity")) {
    columns.push(
      ["perplexity", (row) => perplexityText(row.get("perplexity"))],
      ["ΔNLL [95 % CI], nats", (row) => deltaText(row.get("perplexity"))],
    );
  }
  if (has("divergence")) {
    columns.push(
      [
        "KL, nats",
        (row) => cellText(row.get("divergence"), "klNats", formatSignificant),
      ],
      [
        "top-1 agreement",
        (row) =>
          cellText(
            row.get("divergence"),
            "top1Agreement",
            (value) => formatPercent(value, 1),
          ),
      ],
    );
  }
  if (has("throughput")) {
    columns.push(
      ["batch", (row) => cellText(row.get("throughput"), "batchSize", trimmed)],
      [
        "prefill, tokens/s",
        (row) =>
          cellText(
            row.get("throughput"),
            "prefillTokensPerSecond",
            formatRate,
          ),
      ],
      [
        "decode, tokens/s",
        (row) =>
          cellText(row.get("throughput"), "decodeTokensPerSecond", formatRate),
      ],
    );
    columns.push(...throughputColumns(records));
  }
  const hasLoads = records.some(({ load }) => load !== undefined);
  return fitTable(
    [
      "variant",
      "context",
      ...hasLoads ? ["load"] : [],
      ...columns.map(([title]) => title),
    ],
    [...rows].map(([key, row]) => {
      const [label, context, load] = key.split("\n") as [
        string,
        string,
        string,
      ];
      return [
        label,
        context === "" ? "–" : trimmed(Number(context)),
        ...hasLoads ? [load === "" ? "–" : load] : [],
        ...columns.map(([, text]) => text(row)),
      ];
    }),
    hasLoads ? 3 : 2,
  );
}

/** What only some cells of throughput have. */
function throughputColumns(
  records: readonly CellRecord[],
): [string, (row: Map<string, CellRecord>) => string][] {
  const metricsOf = (record: CellRecord | undefined) =>
    record?.measure === "throughput" ? record.metrics : undefined;
  const all = records.flatMap((record) => metricsOf(record) ?? []);
  const text = (
    row: Map<string, CellRecord>,
    value: (metrics: ThroughputMetrics) => string | undefined,
  ) => {
    const record = row.get("throughput");
    const metrics = metricsOf(record);
    return metrics === undefined
      ? record?.status ?? "–"
      : value(metrics) ?? "–";
  };
  return [
    ...all.some(({ roofline }) => roofline !== undefined)
      ? [[
        "of the roofline",
        (row: Map<string, CellRecord>) =>
          text(row, ({ roofline }) =>
            roofline && formatPercent(roofline.fraction, 1)),
      ]] as const
      : [],
    ...all.some(({ requests }) => requests !== undefined)
      ? [[
        "output, tokens/s",
        (row: Map<string, CellRecord>) =>
          text(row, ({ requests }) =>
            requests && formatRate(requests.outputTokensPerSecond)),
      ]] as const
      : [],
  ].map(([title, of]) => [title, of]);
}

function perplexityText(record: CellRecord | undefined): string {
  if (record?.measure !== "perplexity" || record.metrics === undefined) {
    return record?.status ?? "–";
  }
  const { value, stderr, windows } = record.metrics;
  return windows > 1
    ? `${formatPerplexity(value)} ± ${
      // Of exp(meanNll), to first order.
      formatPerplexityError(value, value * stderr)}`
    : formatPerplexity(value);
}

function changeText(record: CellRecord | undefined, baseline: string): string {
  const isBaseline = record?.variantLabel === baseline ||
    record?.variant.method === baseline;
  return isBaseline && record?.metrics !== undefined
    ? "–"
    : cellText(record, "reduction", (value) => formatPercent(-value));
}

function cellText(
  record: CellRecord | undefined,
  field: string,
  format: (value: number) => string,
): string {
  if (record === undefined) return "–";
  const value = (record.metrics as Record<string, unknown> | undefined)
    ?.[field];
  // A seeded cache has no prefill.
  const missing = record.metrics === undefined ? record.status : "–";
  return typeof value === "number" ? format(value) : missing;
}

function deltaText(record: CellRecord | undefined): string {
  if (record?.measure !== "perplexity" || record.metrics === undefined) {
    return "–";
  }
  const { deltaNll, deltaNllCi95 } = record.metrics;
  return deltaNllCi95 === undefined
    ? formatDelta(deltaNll)
    : `${formatDelta(deltaNll)} [${formatDelta(deltaNllCi95[0])}, ${
      formatDelta(deltaNllCi95[1])
    }]`;
}

function trimmed(value: number): string {
  return formatNumber(value, Number.isInteger(value) ? 0 : 2);
}

/**
 * Expected beside measured, as the report has it.
 *
 * @param checks Of the run.
 */
export function checkTable(checks: readonly Check[]): string {
  const { columns, rows } = checksTable({ checks });
  return fitTable(
    columns.map(({ head }) => head.toLowerCase()),
    rows.map(({ cells }) => cells.map(({ text }) => text)),
    1,
  );
}
