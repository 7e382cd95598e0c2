// From cells to results: paired differences to the baseline, expectations, and
// the flat files.

import { pairedDelta } from "../evaluation/perplexity.ts";
import { matchesGlob } from "./glob.ts";
import { groupLabel } from "./label.ts";
import type { Plan, PlannedCell } from "./plan.ts";
import type { CellRecord, Load, PerplexityMetrics } from "./record.ts";
import type { Expectation, Experiment } from "./schema.ts";

/** An expected figure beside the measured one; a line of checks.json. */
export interface Check {
  /** Of the cell. */
  readonly variantLabel: string;
  /** Measure and field: "perplexity.value". */
  readonly metric: string;
  /** Of the cell; absent for "conversion". */
  readonly contextTokens?: number;
  /** Of the cell, where throughput has several. */
  readonly load?: Load;
  /** What the experiment expects. */
  readonly expected: number;
  /** NaN, null in JSON, where it was not measured; so are difference and relative. */
  readonly measured: number;
  /** measured - expected */
  readonly difference: number;
  /** difference / expected */
  readonly relative: number;
  /** Largest |difference| that passes. */
  readonly tolerance: number;
  /** Whether it passes. */
  readonly ok: boolean;
  /** Why there is no measured figure. */
  readonly reason?: string;
  /** Where the expected figure comes from. */
  readonly source: string;
}

/**
 * Adds to each perplexity its paired difference to the baseline on the same
 * windows. The order in which cells were measured does not matter.
 *
 * @param records In plan order.
 * @param label The baseline's, of the plan: where its record is missing there is no difference. A baseline that has calibration seeds itself is compared with seed by seed.
 */
export function withDeltas(
  records: readonly CellRecord[],
  label: string,
): CellRecord[] {
  const bases = new Map<string, PerplexityMetrics>();
  const keyOf = (metrics: PerplexityMetrics, seed: number | undefined) =>
    `${windowKey(metrics)} ${seed ?? ""}`;
  for (const record of records) {
    if (record.measure !== "perplexity" || !record.metrics) continue;
    if (groupLabel(record) !== label) continue;
    bases.set(keyOf(record.metrics, record.calibrationSeed), record.metrics);
  }
  return records.map((record) => {
    if (
      record.measure !== "perplexity" || groupLabel(record) === label ||
      record.metrics === undefined
    ) return record;
    const base = bases.get(keyOf(record.metrics, record.calibrationSeed)) ??
      bases.get(keyOf(record.metrics, undefined));
    if (base === undefined) return record;
    const delta = pairedDelta(record.metrics.windowNll, base.windowNll);
    return { ...record, metrics: { ...record.metrics, ...delta } };
  });
}

/** The same key, the same windows. */
function windowKey(metrics: PerplexityMetrics): string {
  return `${metrics.textSha256} ${metrics.windowTokens} ${metrics.windows}`;
}

/**
 * Compares what was expected with what was measured. A figure that a selected
 * cell should have and does not is a check that does not hold.
 *
 * @param plan All cells, in order, and the expectations.
 * @param records With deltas.
 * @param selected Ids of the cells that must have been measured by now.
 */
export function evaluateChecks(
  { experiment, cells, baselineLabel }: Plan,
  records: readonly CellRecord[],
  selected: ReadonlySet<string>,
): Check[] {
  const recorded = new Map(records.map((record) => [record.cell, record]));
  return experiment.expect.flatMap((expectation) => {
    const [measure, field] = expectation.metric.split(".") as [string, string];
    return cells.flatMap((cell) => {
      if (
        cell.measure !== measure ||
        ![cell.variantLabel, groupLabel(cell)].some((label) =>
          matchesGlob(expectation.variant, label)
        ) ||
        (expectation.contextTokens !== undefined &&
          expectation.contextTokens !== cell.contextTokens) ||
        (field === "deltaNll" && groupLabel(cell) === baselineLabel)
      ) return [];
      const record = recorded.get(cell.cell);
      const measured = record?.status === "ok"
        ? (record.metrics as unknown as Record<string, unknown>)[field]
        : undefined;
      if (typeof measured === "number") {
        return [compare(expectation, cell, measured)];
      }
      if (!selected.has(cell.cell)) return [];
      const reason = record === undefined
        ? "not measured"
        : record.status === "ok"
        ? `its record has no ${field}`
        : `${record.status}: ${record.error ?? "no reason is recorded"}`;
      return [{ ...compare(expectation, cell, NaN), reason }];
    });
  });
}

function compare(
  expectation: Expectation,
  cell: PlannedCell,
  measured: number,
): Check {
  const { value: expected, absolute = Infinity, relative } = expectation;
  const difference = measured - expected;
  const tolerance = Math.min(
    absolute,
    relative === undefined ? Infinity : relative * Math.abs(expected),
  );
  return {
    variantLabel: cell.variantLabel,
    metric: expectation.metric,
    ...(cell.contextTokens === undefined
      ? {}
      : { contextTokens: cell.contextTokens }),
    ...(cell.load === undefined ? {} : { load: cell.load }),
    expected,
    measured,
    difference,
    relative: expected === 0
      ? Math.sign(difference)
      : difference / Math.abs(expected),
    tolerance,
    ok: Math.abs(difference) <= tolerance,
    source: expectation.source ?? "",
  };
}

/** One JSON object a line. */
export function toJsonLines(records: readonly CellRecord[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}

/**
 * A table for spreadsheets: a row a cell, a column an option and a metric that
 * is a single value, RFC 4180.
 *
 * @param records In plan order.
 * @param experiment Not empty columns only: options that some variant has.
 */
export function toCsv(
  records: readonly CellRecord[],
  experiment: Experiment,
): string {
  const rows = records.map((record) => {
    const row: Record<string, unknown> = {
      experiment: experiment.name,
      cell: record.cell,
      status: record.status,
      model: record.model.id,
      variantLabel: record.variantLabel,
    };
    if (record.calibrationSeed !== undefined) {
      row.variantGroup = record.variantGroup;
      row.calibrationSeed = record.calibrationSeed;
    }
    for (const [key, value] of Object.entries(record.variant)) {
      row[`variant.${key}`] = value;
    }
    row.engine = record.engine.name;
    row.provider = record.engine.provider;
    row.dtype = record.engine.dtype;
    if (record.engine.cacheDtype !== undefined) {
      row.cacheDtype = record.engine.cacheDtype;
    }
    if (record.engine.adapterKind !== undefined) {
      row.adapterKind = record.engine.adapterKind;
    }
    row.measure = record.measure;
    row.contextTokens = record.contextTokens;
    if (record.load !== undefined) {
      row["load.batch"] = record.load.batch;
      row["load.memoryBudget"] = record.load.memoryBudget;
    }
    for (const [key, value] of Object.entries(record.metrics ?? {})) {
      if (typeof value !== "object") row[`${record.measure}.${key}`] = value;
      else if (record.measure === "throughput" && !Array.isArray(value)) {
        for (const [field, single] of Object.entries(value)) {
          if (typeof single === "object") continue;
          row[`throughput.${key}.${field}`] = single;
        }
      }
    }
    row.peakMemoryBytes = record.peakMemoryBytes;
    row.peakMemoryScope = record.peakMemoryScope;
    row.wallSeconds = record.wallSeconds;
    row.startedAt = record.startedAt;
    row.commit = record.commit;
    row.error = record.error;
    return row;
  });
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return [columns, ...rows.map((row) => columns.map((key) => row[key]))]
    .map((cells) => `${cells.map(csvField).join(",")}\r\n`)
    .join("");
}

/**
 * A value as a field of a CSV file, RFC 4180. A text that a spreadsheet would
 * take for a formula gets an apostrophe before it; numbers never do.
 */
export function csvField(value: unknown): string {
  if (value === undefined || value === null) return "";
  const plain = typeof value === "object"
    ? JSON.stringify(value)
    : String(value);
  const isFormula = /^[=+\-@]/.test(plain) && Number.isNaN(Number(plain));
  const text = isFormula ? `'${plain}` : plain;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
