// Two runs beside each other: every pair of cells, the differences of their
// figures, and why a pair is not like for like.

import { pairedDelta } from "../evaluation/perplexity.ts";
import type { CellRecord, Load, Measure } from "../experiment/record.ts";
import { unlikeness, windowUnlikeness } from "./compare_likeness.ts";
import { pairCells } from "./compare_pairs.ts";
import { type FieldDifference, provenanceOf } from "./compare_provenance.ts";

/** One of the two runs. */
export interface ComparedRun {
  /** As the reader named it. */
  readonly name: string;
  /** In plan order. */
  readonly cells: readonly CellRecord[];
  /** environment.json, where there is one. */
  readonly environment?: Readonly<Record<string, unknown>>;
  /** experiment.yaml, parsed, where there is one. */
  readonly experiment?: Readonly<Record<string, unknown>>;
}

/** One figure of a pair. */
export interface Difference {
  /** Measure and field, as experiment files name it: "perplexity.value". */
  readonly metric: string;
  readonly a: number;
  readonly b: number;
  /** b - a */
  readonly difference: number;
  /** b / a; absent where a is 0. */
  readonly ratio?: number;
  /** Mean over the same windows of b minus a: NLL of a perplexity, KL of a divergence, nats. */
  readonly paired?: {
    readonly mean: number;
    /** 95 %, Student's t; absent for a single window. */
    readonly ci95?: readonly [number, number];
  };
}

/** Two cells of one variant, measure and context. */
export interface CellPair {
  readonly variantLabel: string;
  readonly measure: Measure;
  readonly contextTokens?: number;
  /** Of throughput, where there are several. */
  readonly load?: Load;
  readonly statusA: CellRecord["status"];
  readonly statusB: CellRecord["status"];
  /** Cell ids. */
  readonly cellA: string;
  readonly cellB: string;
  /** Why the figures are not those of one thing, "texts: brown/test, wikitext-2/test". */
  readonly unlike: readonly string[];
  /** Empty unless both ended well. */
  readonly differences: readonly Difference[];
}

/** A cell that only one run has. */
export interface LoneCell {
  readonly variantLabel: string;
  readonly measure: Measure;
  readonly contextTokens?: number;
  /** Of throughput, where there are several. */
  readonly load?: Load;
  readonly status: CellRecord["status"];
}

/** Two runs, compared. */
export interface Comparison {
  readonly a: string;
  readonly b: string;
  readonly pairs: readonly CellPair[];
  readonly onlyA: readonly LoneCell[];
  readonly onlyB: readonly LoneCell[];
  /** What the runs were made with, where it differs. */
  readonly provenance: readonly FieldDifference[];
}

/**
 * Compares two runs.
 *
 * @param a What is compared with.
 * @param b What is compared; differences are b minus a.
 */
export function compareRuns(a: ComparedRun, b: ComparedRun): Comparison {
  const { pairs, onlyA, onlyB } = pairCells(a.cells, b.cells);
  return {
    a: a.name,
    b: b.name,
    pairs: pairs.map(([cellA, cellB]) => ({
      ...place(cellA),
      statusA: cellA.status,
      statusB: cellB.status,
      cellA: cellA.cell,
      cellB: cellB.cell,
      unlike: unlikeness(a, cellA, b, cellB),
      differences: differencesOf(cellA, cellB),
    })),
    onlyA: onlyA.map((cell) => ({ ...place(cell), status: cell.status })),
    onlyB: onlyB.map((cell) => ({ ...place(cell), status: cell.status })),
    provenance: provenanceOf(a, b),
  };
}

function place({ variantLabel, measure, contextTokens, load }: CellRecord) {
  return {
    variantLabel,
    measure,
    ...(contextTokens === undefined ? {} : { contextTokens }),
    ...(load === undefined ? {} : { load }),
  };
}

function differencesOf(a: CellRecord, b: CellRecord): Difference[] {
  if (a.status !== "ok" || b.status !== "ok") return [];
  const figuresA = figuresOf(a);
  const figuresB = new Map(figuresOf(b));
  return figuresA.flatMap(([metric, value]) => {
    const other = figuresB.get(metric);
    if (other === undefined) return [];
    const paired = pairedOf(metric, a, b);
    return [{
      metric,
      a: value,
      b: other,
      difference: other - value,
      ...(value === 0 ? {} : { ratio: other / value }),
      ...(paired === undefined ? {} : { paired }),
    }];
  });
}

/** The figures that a reader compares, by metric. */
function figuresOf(record: CellRecord): [metric: string, value: number][] {
  if (record.metrics === undefined) return [];
  switch (record.measure) {
    case "perplexity":
      return [["perplexity.value", record.metrics.value]];
    case "divergence":
      return [
        ["divergence.klNats", record.metrics.klNats],
        ["divergence.top1Agreement", record.metrics.top1Agreement],
      ];
    case "cache":
      return [
        [
          "cache.elementsPerTokenPerLayer",
          record.metrics.elementsPerTokenPerLayer,
        ],
        ["cache.bytesPerToken", record.metrics.bytesPerToken],
        ["cache.measuredBytes", record.metrics.measuredBytes],
      ];
    case "throughput":
      return [
        [
          "throughput.decodeTokensPerSecond",
          record.metrics.decodeTokensPerSecond,
        ],
        // A seeded cache has no prefill.
        ...(record.metrics.prefillTokensPerSecond === undefined ? [] : [
          [
            "throughput.prefillTokensPerSecond",
            record.metrics.prefillTokensPerSecond,
          ] satisfies [string, number],
        ]),
        ...(record.metrics.requests === undefined ? [] : [
          [
            "throughput.outputTokensPerSecond",
            record.metrics.requests.outputTokensPerSecond,
          ] satisfies [string, number],
        ]),
      ];
    case "conversion": {
      const { wallSeconds, calibrationWallSeconds, keptEnergyByLayer } =
        record.metrics;
      const sum = keptEnergyByLayer.reduce((total, part) => total + part, 0);
      return [
        ["conversion.wallSeconds", wallSeconds],
        ["conversion.calibrationWallSeconds", calibrationWallSeconds],
        ...keptEnergyByLayer.length === 0
          ? []
          : [["conversion.keptEnergy", sum / keptEnergyByLayer.length] as [
            string,
            number,
          ]],
      ];
    }
    default:
      return record satisfies never;
  }
}

/** Differences window by window, where both scored the same ones. */
function pairedOf(
  metric: string,
  a: CellRecord,
  b: CellRecord,
): Difference["paired"] {
  if (windowUnlikeness(a, b).length > 0) return undefined;
  const windowsOf = (record: CellRecord) =>
    record.measure === "perplexity" && metric === "perplexity.value"
      ? record.metrics?.windowNll
      : record.measure === "divergence" && metric === "divergence.klNats"
      ? record.metrics?.windowKl
      : undefined;
  const windowsA = windowsOf(a);
  const windowsB = windowsOf(b);
  if (
    windowsA === undefined || windowsB === undefined || windowsA.length === 0 ||
    windowsA.length !== windowsB.length
  ) return undefined;
  const { deltaNll, deltaNllCi95 } = pairedDelta(windowsB, windowsA);
  return {
    mean: deltaNll,
    ...(deltaNllCi95 === undefined ? {} : { ci95: deltaNllCi95 }),
  };
}
