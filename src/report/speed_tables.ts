// Tables of speed against what bounds it: the roofline, the time by kernel; whole
// requests beside the paper's Table 4.

import type { ThroughputMetrics } from "../experiment/record.ts";
import {
  formatNumber,
  formatPercent,
  formatRate,
  formatRatio,
  formatSignificant,
} from "./format.ts";
import type { RunData } from "./load.ts";
import { paperSpeeds } from "./paper_table_4.ts";
import { speedup } from "./quantities.ts";
import {
  baselineOf,
  contextsOf,
  labelWithoutLoad,
  type Series,
} from "./series.ts";
import {
  type Column,
  numberCell,
  right,
  type Table,
  type TableCell,
} from "./table.ts";

const VARIANT: Column = { head: "Variant", name: "variant", align: "left" };

/** What `limit` means, in a sentence. */
export const LIMIT_MEANING =
  "The limit: weights and cache that a step must read, at the bandwidth of a copy in the same run.";

/** Decoding speed as a share of what the bytes of a step allow. */
export function rooflineTable(series: readonly Series[]): Table {
  return {
    columns: [
      VARIANT,
      right("context", "contextTokens"),
      right("batch", "batchSize"),
      right("tokens/s", "decodeTokensPerSecond"),
      right("step, ms", "stepP50Ms"),
      right(
        "bytes a step",
        "stepBytes",
        { about: "Weights and cache that a step must read" },
      ),
      right(
        "limit, tokens/s",
        "rooflineTokensPerSecond",
        {
          about:
            "What these bytes allow at the bandwidth of a copy in the same run",
        },
      ),
      right("of the limit", "rooflineFraction"),
      right("ratio to the original", "decodeSpeedup"),
    ],
    rows: series.flatMap((one) =>
      [...one.throughput].flatMap(([context, metrics]) => {
        const { roofline } = metrics;
        if (roofline === undefined) return [];
        return [{
          series: one,
          cells: [
            { text: one.label },
            numberCell(context, formatNumber),
            numberCell(metrics.batchSize, formatNumber),
            numberCell(metrics.decodeTokensPerSecond, formatRate),
            numberCell(metrics.p50Ms, formatSignificant),
            numberCell(
              roofline.stepBytes,
              (bytes) => `${formatSignificant(bytes! / 1e9)} GB`,
            ),
            numberCell(roofline.tokensPerSecond, formatRate),
            numberCell(
              roofline.fraction,
              (value) => formatPercent(value!, 0),
            ),
            numberCell(speedup(one, series, context), formatRatio),
          ],
        }];
      })
    ),
  };
}

/** Time by kernel of every profiled step, the longest first. */
export function kernelsTable(series: readonly Series[]): Table {
  return {
    columns: [
      VARIANT,
      right("context", "contextTokens"),
      right("batch", "batchSize"),
      { head: "kernel", name: "kernel", align: "left" },
      right("dispatches", "dispatches"),
      right("ms", "milliseconds", { about: "Each dispatch timed on its own" }),
      right("share", "share"),
      right("GB/s", "gigabytesPerSecond"),
      right("TFLOPS", "teraflopsPerSecond"),
    ],
    rows: series.flatMap((one) =>
      [...one.throughput].flatMap(([context, { batchSize, kernels = [] }]) => {
        const all = kernels.reduce((sum, { seconds }) => sum + seconds, 0);
        return kernels.toSorted((a, b) => b.seconds - a.seconds).map((
          { name, dispatches, seconds, bytes, flops },
        ) => ({
          series: one,
          cells: [
            { text: one.label },
            numberCell(context, formatNumber),
            numberCell(batchSize, formatNumber),
            { text: name },
            numberCell(dispatches, formatNumber),
            numberCell(seconds * 1000, formatSignificant),
            numberCell(
              overTime(seconds, all),
              (value) => formatPercent(value, 1),
            ),
            numberCell(overTime(bytes / 1e9, seconds), formatSignificant),
            numberCell(overTime(flops / 1e12, seconds), formatSignificant),
          ],
        }));
      })
    ),
  };
}

/** A rate; none where the device's clock saw no time pass. */
function overTime(amount: number, seconds: number): number | undefined {
  return seconds > 0 ? amount / seconds : undefined;
}

/** What a table of whole requests shows, in sentences. */
export function requestsMeaning(run: RunData): string {
  const timed = run.cells.flatMap((cell) =>
    cell.measure === "throughput" && cell.metrics?.requests !== undefined
      ? [{ ...cell.metrics.requests, batchSize: cell.metrics.batchSize }]
      : []
  );
  const [first] = timed;
  if (first === undefined) return "";
  const counts = [...new Set(timed.map(({ count }) => formatNumber(count)))];
  const most = Math.max(0, ...timed.map(overstatement));
  return `${
    counts.join(" or ")
  } requests, half of the context in and half out, as many at once as the memory holds. Prefill was timed on a sample of the input and steps at ${first.sampledSteps.length} lengths along the generation; the time between is linear. The requests that are left for a last batch ${
    most > 0
      ? `took their share of a whole batch’s time, which makes speeds too high by ${
        formatPercent(most, 0)
      } at most`
      : "were timed as a batch of their own"
  }. The paper’s columns: Table 4 of arXiv 2502.07864, other cards under vLLM.`;
}

/**
 * By what share whole requests could be too fast in a record that did not time their
 * last batch: if that had taken a whole batch's time.
 */
function overstatement(
  { count, batchSize, seconds, prefillSeconds, lastBatch }:
    & NonNullable<ThroughputMetrics["requests"]>
    & { readonly batchSize: number },
): number {
  if (lastBatch !== undefined) return 0;
  const batches = count / batchSize;
  const missing = (Math.ceil(batches) - batches) / batches;
  return missing * (seconds - prefillSeconds) / seconds;
}

/** Whole requests: a row a load and context, a speed a variant, the paper's beside it. */
export function requestsTable(series: readonly Series[]): Table {
  const timed = series.filter(({ throughput }) =>
    [...throughput.values()].some(({ requests }) => requests !== undefined)
  );
  const pairs = timed.filter((one) => !one.isBaseline).flatMap((one) => {
    const base = baselineOf(one, series);
    return base === undefined ? [] : [{ one, base }];
  });
  const budgetOf = ({ load, memoryBudget }: Series) =>
    load?.memoryBudget ?? memoryBudget ?? "device";
  return {
    columns: [
      VARIANT,
      {
        head: "memory (the paper’s card)",
        name: "memoryBudget",
        align: "left",
      },
      right("context", "contextTokens"),
      right("batch, original", "batchSizeOriginal"),
      right("batch", "batchSize"),
      right("original, tokens/s", "outputTokensPerSecondOriginal"),
      right("tokens/s", "outputTokensPerSecond"),
      right("ratio", "ratio"),
      right("paper: original", "paperOriginal"),
      right("paper: MLA", "paperMla"),
      right("paper: ratio", "paperRatio"),
    ],
    rows: pairs.flatMap(({ one, base }) => {
      const budget = budgetOf(one);
      return contextsOf([one, base], "throughput").map((context) => {
        const own = one.throughput.get(context);
        const original = base.throughput.get(context);
        const paper = paperSpeeds(budget, context);
        const output = (metrics: typeof own) =>
          metrics?.requests?.outputTokensPerSecond;
        const speedCell = (of: Series, metrics: typeof own): TableCell =>
          of.outOfMemory.includes(context)
            ? { text: "OOM", value: null }
            : numberCell(output(metrics), formatRate);
        const paperCell = (value: number | undefined): TableCell =>
          paper === undefined
            ? { text: "–", value: null }
            : value === undefined
            ? { text: "OOM", value: null }
            : numberCell(value, formatRate);
        return {
          series: one,
          cells: [
            // The column of memory says the load.
            { text: labelWithoutLoad(one) },
            {
              text: paper === undefined ? budget : `${budget} (${paper.card})`,
            },
            numberCell(context, formatNumber),
            numberCell(original?.batchSize, formatNumber),
            numberCell(own?.batchSize, formatNumber),
            speedCell(base, original),
            speedCell(one, own),
            numberCell(ratioOf(output(own), output(original)), formatRatio),
            paperCell(paper?.original),
            paperCell(paper?.mla),
            numberCell(ratioOf(paper?.mla, paper?.original), formatRatio),
          ],
        };
      });
    }),
  };
}

function ratioOf(
  a: number | undefined,
  b: number | undefined,
): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}
