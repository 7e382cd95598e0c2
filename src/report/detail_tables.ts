// Tables behind the headline: checks, conversions, cells without a result.

import type { Check } from "../experiment/assemble.ts";
import type { CellRecord } from "../experiment/record.ts";
import {
  formatBytes,
  formatDelta,
  formatNumber,
  formatPercent,
  formatSeconds,
  formatSignificant,
} from "./format.ts";
import type { RunData } from "./load.ts";
import { cellLabel } from "./compare_pairs.ts";
import { missingOfSelected, notSelectedNote } from "./run_facts.ts";
import { eachSeed, labelWithoutLoad, type Series } from "./series.ts";
import type { PlannedCell } from "./schema.ts";
import { numberCell, type Row, type Table, type TableCell } from "./table.ts";

/** Expected beside measured numbers; an empty table where nothing was checked. */
export function checksTable(run: Pick<RunData, "checks">): Table {
  return {
    columns: [
      { head: "Variant", align: "left" },
      { head: "Quantity", align: "left" },
      { head: "expected", align: "right" },
      { head: "measured", align: "right" },
      { head: "difference", align: "right" },
      { head: "relative", name: "relativeDifference", align: "right" },
      { head: "tolerance", align: "right" },
      { head: "Result", align: "left" },
      { head: "Source of the expected number", name: "source", align: "left" },
    ],
    rows: run.checks.map((check) => {
      const decimals = Math.max(
        decimalsFor(check.expected),
        Number.isFinite(check.measured) ? decimalsFor(check.measured) : 0,
      );
      return {
        cells: [
          { text: cellLabel(check) },
          { text: quantityName(check) },
          numberCell(check.expected, (value) => formatNumber(value, decimals)),
          numberCell(check.measured, (value) => formatNumber(value, decimals)),
          numberCell(
            check.difference,
            (value) =>
              formatDelta(value, Math.max(decimals, 4 * Number(decimals > 0))),
          ),
          check.expected === 0 || !Number.isFinite(check.relative)
            ? { text: "–" }
            : {
              text: `${formatDelta(check.relative * 100, 2)}\u00a0%`,
              value: check.relative,
            },
          numberCell(check.tolerance, (value) => formatSignificant(value, 2)),
          { text: check.ok ? "agrees" : check.reason ?? "differs" },
          { text: check.source },
        ],
        ...(check.ok ? {} : { tone: "bad" as const }),
      };
    }),
  };
}

/** Conversion cost and what the conversion kept, a row a converted variant. */
export function conversionTable(series: readonly Series[]): Table {
  // One conversion serves every load.
  const converted = eachSeed(series).filter((one, i, all) =>
    one.conversion !== undefined &&
    (one.load === undefined ||
      all.findIndex(({ conversion, engine }) =>
          conversion === one.conversion && engine.dtype === one.engine.dtype &&
          engine.provider === one.engine.provider
        ) === i)
  );
  const differing = differingOptions(
    converted.map((one) => one.conversion!.resolved),
  );
  return {
    columns: [
      { head: "Variant", align: "left" },
      { head: "conversion", name: "conversionSeconds", align: "right" },
      { head: "calibration", name: "calibrationSeconds", align: "right" },
      { head: "calibration tokens", align: "right" },
      {
        group: "Energy kept by layer",
        head: "least",
        name: "leastKeptEnergy",
        align: "right",
      },
      {
        group: "Energy kept by layer",
        head: "mean",
        name: "meanKeptEnergy",
        align: "right",
      },
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
          { text: labelWithoutLoad(one) },
          numberCell(metrics.wallSeconds, formatSeconds),
          metrics.calibrationTokens === 0
            ? { text: "–" }
            : metrics.calibrationCached
            ? { text: "cached", value: 0 }
            : numberCell(metrics.calibrationWallSeconds, formatSeconds),
          numberCell(metrics.calibrationTokens, formatNumber),
          ...[
            kept.length > 0 ? Math.min(...kept) : undefined,
            kept.length > 0
              ? kept.reduce((sum, value) => sum + value, 0) / kept.length
              : undefined,
          ].map((share) =>
            numberCell(share, (value) => formatPercent(value, 2))
          ),
          ...differing.length === 0 ? [] : [{
            text: differing.filter((key) => key in metrics.resolved).map((
              key,
            ) => `${key} ${optionText(metrics.resolved[key])}`).join(", "),
          }],
        ],
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
  return {
    columns: [
      { head: "Cell", align: "left" },
      { head: "Variant", align: "left" },
      { head: "Measure", align: "left" },
      { head: "context", name: "contextTokens", align: "right" },
      { head: "Status", align: "left" },
      { head: "Reason", align: "left" },
    ],
    rows: [
      ...failedCells(run).map((cell): Row => ({
        cells: [
          ...identity(cell),
          { text: STATUS_WORDS[cell.status] },
          { text: cell.error ?? "–" },
        ],
        ...(cell.status === "oom" ? {} : { tone: "bad" as const }),
      })),
      ...notSelectedNote(run) === "" ? [] : [{
        cells: ["–", notSelectedNote(run), "–", "–", "not selected", "--only"]
          .map((text) => ({ text })),
      }],
      ...missingOfSelected(run).map((cell): Row => ({
        cells: [
          ...identity(cell),
          { text: "missing" },
          { text: "planned, not measured" },
        ],
        tone: "bad",
      })),
    ],
  };
}

/** What names a cell: id, label with its load, measure and context. */
function identity(cell: PlannedCell): TableCell[] {
  return [
    { text: cell.cell },
    { text: cellLabel(cell) },
    { text: cell.measure },
    numberCell(cell.contextTokens, formatNumber),
  ];
}

/** Every cell with its time and the peak of its memory. */
export function cellsTable(run: Pick<RunData, "cells">): Table {
  return {
    columns: [
      { head: "Cell", align: "left" },
      { head: "Variant", align: "left" },
      { head: "Measure", align: "left" },
      { head: "context", name: "contextTokens", align: "right" },
      { head: "Status", align: "left" },
      { head: "time", name: "wallSeconds", align: "right" },
      {
        head: "peak memory",
        name: "peakMemoryBytes",
        about: "Most resident memory of the engine’s process",
        align: "right",
      },
      {
        head: "Peak of",
        name: "peakMemoryScope",
        about:
          "The cell alone, or the process from its start to the end of the cell",
        align: "left",
      },
    ],
    rows: run.cells.map((cell) => ({
      cells: [
        ...identity(cell),
        { text: STATUS_WORDS[cell.status] },
        numberCell(cell.wallSeconds, formatSeconds),
        numberCell(cell.peakMemoryBytes, formatBytes),
        { text: cell.peakMemoryScope ?? "process" },
      ],
    })),
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
