// Tables of one measure each: every context, and every calibration seed.

import type { ThroughputMetrics } from "../experiment/record.ts";
import {
  formatBytes,
  formatNumber,
  formatRate,
  formatRatio,
  formatSignificant,
} from "./format.ts";
import {
  agreementCell,
  decodeCell,
  deltaCell,
  klCell,
  perplexityCell,
  speedup,
} from "./quantities.ts";
import { contextsOf, eachSeed, mainContext, type Series } from "./series.ts";
import { type Column, numberCell, right, type Table } from "./table.ts";

const VARIANT: Column = { head: "Variant", name: "variant", align: "left" };

/**
 * Speed and memory of every throughput cell.
 *
 * @param series All series.
 * @param steps Decode steps of a repetition, where known.
 */
export function throughputTable(
  series: readonly Series[],
  steps?: number,
): Table {
  return {
    columns: [
      VARIANT,
      right("context", "contextTokens"),
      right("batch", "batchSize"),
      right("prefill, tokens/s", "prefillTokensPerSecond"),
      right("decode, tokens/s", "decodeTokensPerSecond"),
      right("ratio", "decodeSpeedup"),
      right("step p50, ms", "stepP50Ms"),
      right("step p95, ms", "stepP95Ms"),
      right("times taken", "decodeSamples"),
      {
        ...right("memory", "memoryBytes"),
        about: "Weights, cache and, where the engine tells it, scratch",
      },
    ],
    rows: eachSeed(series).flatMap((one) =>
      [...one.throughput].map(([context, metrics]) => ({
        series: one,
        cells: [
          { text: one.label },
          numberCell(context, formatNumber),
          numberCell(metrics.batchSize, formatNumber),
          numberCell(metrics.prefillTokensPerSecond, formatRate),
          numberCell(metrics.decodeTokensPerSecond, formatRate),
          numberCell(speedup(one, series, context), formatRatio),
          numberCell(metrics.p50Ms, formatSignificant),
          numberCell(metrics.p95Ms, formatSignificant),
          {
            text: timesTaken(one, metrics, steps),
            value: metrics.decodeSamples,
          },
          numberCell(metrics.memoryBytes, formatBytes),
        ],
      }))
    ),
  };
}

/**
 * How often the clock was read. Steps that are submitted together have one time
 * for all; earlier records of such an engine have the steps, and are shown so.
 */
function timesTaken(
  { engine }: Series,
  { decodeSamples, repetitions }: ThroughputMetrics,
  steps: number | undefined,
): string {
  const isSteps = engine.name === "webgpu" && steps !== undefined &&
    steps > 1 && decodeSamples === repetitions * steps;
  return formatNumber(decodeSamples) + (isSteps ? " steps" : "");
}

/** Perplexity at every context, a row a variant. */
export function perplexityTable(series: readonly Series[]): Table {
  const contexts = contextsOf(series, "perplexity");
  return {
    columns: [
      VARIANT,
      ...contexts.map((context): Column => ({
        group: "Perplexity by window length, tokens",
        head: formatNumber(context),
        name: `perplexityAt${context}`,
        align: "right",
      })),
    ],
    rows: series.filter((one) => one.perplexity.size > 0).map((one) => ({
      series: one,
      cells: [
        { text: one.label },
        ...contexts.map((context) => perplexityCell(one, context)),
      ],
    })),
  };
}

/** KL divergence and top-1 agreement at every context, a row a variant. */
export function divergenceTable(series: readonly Series[]): Table {
  const contexts = contextsOf(series, "divergence");
  const columns = (
    group: string,
    name: string,
  ): Column[] =>
    contexts.map((context) => ({
      group,
      head: formatNumber(context),
      name: `${name}At${context}`,
      align: "right",
    }));
  return {
    columns: [
      VARIANT,
      ...columns("KL, nats, by window length, tokens", "klNats"),
      ...columns("Top-1 agreement by window length, tokens", "top1Agreement"),
    ],
    rows: series.filter((one) => one.divergence.size > 0).map((one) => ({
      series: one,
      cells: [
        { text: one.label },
        ...contexts.map((context) => klCell(one, context)),
        ...contexts.map((context) => agreementCell(one, context)),
      ],
    })),
  };
}

/** Every calibration seed of the variants that have several, at the main contexts. */
export function seedsTable(series: readonly Series[]): Table {
  const seeded = series.filter(({ seeds }) => seeds !== undefined);
  const window = mainContext(seeded);
  const diverged = mainContext(seeded, "divergence");
  const timed = contextsOf(seeded, "throughput").at(-1);
  return {
    columns: [
      VARIANT,
      right("seed", "calibrationSeed"),
      ...window === undefined ? [] : [
        right(
          `perplexity at ${formatNumber(window)}`,
          `perplexityAt${window}`,
        ),
        right("ΔNLL [95 % CI], nats", `deltaNllNatsAt${window}`),
      ],
      ...diverged === undefined ? [] : [
        right(`KL at ${formatNumber(diverged)}, nats`, `klNatsAt${diverged}`),
        right(
          `top-1 agreement at ${formatNumber(diverged)}`,
          `top1AgreementAt${diverged}`,
        ),
      ],
      ...timed === undefined ? [] : [
        right(
          `tokens/s at ${formatNumber(timed)}`,
          `decodeTokensPerSecondAt${timed}`,
        ),
      ],
    ],
    rows: seeded.flatMap((group) =>
      group.seeds!.map((one) => ({
        series: one,
        cells: [
          { text: group.label },
          numberCell(one.seed, (seed) => seed === undefined ? "–" : `${seed}`),
          ...window === undefined
            ? []
            : [perplexityCell(one, window), deltaCell(one, series, window)],
          ...diverged === undefined
            ? []
            : [klCell(one, diverged), agreementCell(one, diverged)],
          ...timed === undefined ? [] : [decodeCell(one, series, timed)],
        ],
      }))
    ),
  };
}
