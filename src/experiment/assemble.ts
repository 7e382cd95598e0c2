// From cells to results: paired differences to the baseline, expectations, and
// the flat files.

import { pairedDelta } from "../evaluation/perplexity.ts";
import { baselineIndices } from "./experiment_file.ts";
import { matchesGlob } from "./glob.ts";
import type { CellRecord, PerplexityMetrics } from "./record.ts";
import type { Expectation, Experiment } from "./schema.ts";

/** An expected figure beside the measured one; a line of checks.json. */
export interface Check {
  readonly variantLabel: string;
  /** "perplexity.value" */
  readonly metric: string;
  readonly contextTokens?: number;
  readonly expected: number;
  readonly measured: number;
  /** measured - expected */
  readonly difference: number;
  /** difference / expected */
  readonly relative: number;
  /** Largest |difference| that passes. */
  readonly tolerance: number;
  readonly ok: boolean;
  /** Where the expected figure comes from. */
  readonly source: string;
}

/**
 * Adds to each perplexity its paired difference to the baseline on the same
 * windows. The order in which cells were measured does not matter.
 *
 * @param records In plan order.
 * @param baseline As `report.baseline` has it.
 */
export function withDeltas(
  records: readonly CellRecord[],
  baseline: string,
): CellRecord[] {
  const labels = records.map((record) => record.variantLabel);
  const [index] = baselineIndices(
    baseline,
    records.map((record) => record.variant),
    labels,
  );
  const label = index === undefined ? undefined : labels[index];
  const bases = new Map<string, PerplexityMetrics>();
  for (const record of records) {
    if (record.measure === "perplexity" && record.variantLabel === label) {
      if (record.metrics) bases.set(windowKey(record.metrics), record.metrics);
    }
  }
  return records.map((record) => {
    if (
      record.measure !== "perplexity" || record.variantLabel === label ||
      record.metrics === undefined
    ) return record;
    const base = bases.get(windowKey(record.metrics));
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
 * Compares what was expected with what was measured. A figure that was not
 * measured gives no check: the cell's own status says why.
 *
 * @param expectations As the experiment has them.
 * @param records With deltas.
 */
export function evaluateChecks(
  expectations: readonly Expectation[],
  records: readonly CellRecord[],
): Check[] {
  return expectations.flatMap((expectation) => {
    const [measure, field] = expectation.metric.split(".") as [string, string];
    return records.flatMap((record) => {
      const measured = (record.metrics as Record<string, unknown> | undefined)
        ?.[field];
      if (
        record.measure !== measure || record.status !== "ok" ||
        typeof measured !== "number" ||
        !matchesGlob(expectation.variant, record.variantLabel) ||
        (expectation.contextTokens !== undefined &&
          expectation.contextTokens !== record.contextTokens)
      ) return [];
      const expected = expectation.value;
      const difference = measured - expected;
      const tolerance = Math.min(
        expectation.absolute ?? Infinity,
        (expectation.relative ?? Infinity) * Math.abs(expected),
      );
      return [{
        variantLabel: record.variantLabel,
        metric: expectation.metric,
        ...(record.contextTokens === undefined
          ? {}
          : { contextTokens: record.contextTokens }),
        expected,
        measured,
        difference,
        relative: expected === 0
          ? (difference === 0 ? 0 : Math.sign(difference))
          : difference / Math.abs(expected),
        tolerance,
        ok: Math.abs(difference) <= tolerance,
        source: expectation.source ?? "",
      }];
    });
  });
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
    for (const [key, value] of Object.entries(record.variant)) {
      row[`variant.${key}`] = value;
    }
    row.engine = record.engine.name;
    row.provider = record.engine.provider;
    row.dtype = record.engine.dtype;
    row.measure = record.measure;
    row.contextTokens = record.contextTokens;
    for (const [key, value] of Object.entries(record.metrics ?? {})) {
      if (typeof value !== "object") row[`${record.measure}.${key}`] = value;
    }
    row.peakMemoryBytes = record.peakMemoryBytes;
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

function csvField(value: unknown): string {
  if (value === undefined || value === null) return "";
  const text = typeof value === "object"
    ? JSON.stringify(value)
    : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
