// Tables behind the headline: checks, conversions, cells without a result.

import type { Check } from "../experiment/assemble.ts";
import type { CellRecord } from "../experiment/record.ts";
import {
  formatDelta,
  formatNumber,
  formatPercent,
  formatSeconds,
  formatSignificant,
} from "./format.ts";
import type { RunData } from "./load.ts";
import { missingOfSelected, notSelectedNote } from "./run_facts.ts";
import type { Series } from "./series.ts";
import type { Row, Table } from "./tables.ts";

/** Expected beside measured numbers; an empty table where nothing was checked. */
export function checksTable(run: Pick<RunData, "checks">): Table {
  return {
    columns: [
      { head: "Variant", align: "left" },
      { head: "Quantity", align: "left" },
      { head: "expected", align: "right" },
      { head: "measured", align: "right" },
      { head: "difference", align: "right" },
      { head: "relative", align: "right" },
      { head: "tolerance", align: "right" },
      { head: "Result", align: "left" },
      { head: "Source of the expected number", align: "left" },
    ],
    rows: run.checks.map((check) => {
      const decimals = decimalsFor(check.expected);
      return {
        cells: [
          check.variantLabel,
          quantityName(check),
          formatNumber(check.expected, decimals),
          formatNumber(check.measured, decimals),
          formatDelta(
            check.difference,
            Math.max(decimals, 4 * Number(decimals > 0)),
          ),
          check.expected === 0
            ? "–"
            : `${formatDelta(check.relative * 100, 2)}\u00a0%`,
          formatSignificant(check.tolerance, 2),
          check.ok ? "agrees" : check.reason ?? "differs",
          check.source,
        ].map((text) => ({ text })),
        ...(check.ok ? {} : { tone: "bad" as const }),
      };
    }),
  };
}

/** Conversion cost and what the conversion kept, a row a converted variant. */
export function conversionTable(series: readonly Series[]): Table {
  const converted = series.filter((one) => one.conversion !== undefined);
  const differing = differingOptions(
    converted.map((one) => one.conversion!.resolved),
  );
  return {
    columns: [
      { head: "Variant", align: "left" },
      { head: "conversion", align: "right" },
      { head: "calibration", align: "right" },
      { head: "calibration tokens", align: "right" },
      { group: "Energy kept by layer", head: "least", align: "right" },
      { group: "Energy kept by layer", head: "mean", align: "right" },
      ...differing.length === 0
        ? []
        : [{ head: "Options that differ", align: "left" as const }],
    ],
    rows: converted.map((one) => {
      const metrics = one.conversion!;
      const kept = metrics.keptEnergyByLayer;
      return {
        series: one,
        cells: [
          one.label,
          formatSeconds(metrics.wallSeconds),
          metrics.calibrationTokens === 0
            ? "–"
            : metrics.calibrationCached
            ? "cached"
            : formatSeconds(metrics.calibrationWallSeconds),
          formatNumber(metrics.calibrationTokens),
          formatPercent(kept.length > 0 ? Math.min(...kept) : undefined, 2),
          formatPercent(
            kept.length > 0
              ? kept.reduce((sum, value) => sum + value, 0) / kept.length
              : undefined,
            2,
          ),
          ...differing.length === 0 ? [] : [
            differing.filter((key) => key in metrics.resolved).map((key) =>
              `${key} ${optionText(metrics.resolved[key])}`
            ).join(", "),
          ],
        ].map((text) => ({ text })),
      };
    }),
  };
}

/** Options that do not have one value wherever they are; all of a single conversion. */
function differingOptions(
  resolved: readonly Readonly<Record<string, unknown>>[],
): string[] {
  const keys = [
    ...new Set(resolved.flatMap((options) => Object.keys(options))),
  ];
  if (resolved.length < 2) return keys;
  return keys.filter((key) =>
    new Set(
      resolved.filter((options) => key in options).map((options) =>
        optionText(options[key])
      ),
    ).size > 1
  );
}

function optionText(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Cells that did not end well, and cells that are missing. */
export function failedTable(run: RunData): Table {
  const where = (tokens: number | undefined) =>
    tokens === undefined ? "–" : formatNumber(tokens);
  return {
    columns: [
      { head: "Cell", align: "left" },
      { head: "Variant", align: "left" },
      { head: "Measure", align: "left" },
      { head: "context", align: "right" },
      { head: "Status", align: "left" },
      { head: "Reason", align: "left" },
    ],
    rows: [
      ...failedCells(run).map((cell): Row => ({
        cells: [
          cell.cell,
          cell.variantLabel,
          cell.measure,
          where(cell.contextTokens),
          STATUS_WORDS[cell.status],
          cell.error ?? "–",
        ].map((text) => ({ text })),
        ...(cell.status === "oom" ? {} : { tone: "bad" as const }),
      })),
      ...notSelectedNote(run) === "" ? [] : [{
        cells: ["–", notSelectedNote(run), "–", "–", "not selected", "--only"]
          .map((text) => ({ text })),
      }],
      ...missingOfSelected(run).map((cell): Row => ({
        cells: [
          cell.cell,
          cell.variantLabel,
          cell.measure,
          where(cell.contextTokens),
          "missing",
          "planned, not measured",
        ].map((text) => ({ text })),
        tone: "bad",
      })),
    ],
  };
}

const STATUS_WORDS: Readonly<Record<CellRecord["status"], string>> = {
  ok: "ok",
  failed: "failed",
  oom: "out of memory",
  timeout: "timed out",
  skipped: "skipped",
};

/** Cells whose status is not "ok". */
export function failedCells(run: RunData): CellRecord[] {
  return run.cells.filter((cell) => cell.status !== "ok");
}

/** "perplexity at 2,048 tokens". */
export function quantityName({ metric, contextTokens }: Check): string {
  return contextTokens === undefined
    ? metricName(metric)
    : `${metricName(metric)} at ${formatNumber(contextTokens)} tokens`;
}

/** "perplexity.value" is the perplexity; other fields keep their names. */
function metricName(metric: string): string {
  return metric.replace(/\.value$/, "").replace(".", " ");
}

/** Digits after the point that a check's numbers are shown with. */
export function decimalsFor(expected: number): number {
  if (Number.isInteger(expected) && Math.abs(expected) >= 1) return 0;
  return Math.abs(expected) < 1000 ? 4 : 2;
}
