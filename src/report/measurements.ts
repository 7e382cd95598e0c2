// What was measured of one variant, by measure and context, and its mean over
// calibration seeds.

import { meanAndStderr } from "../evaluation/perplexity.ts";
import type {
  CacheMetrics,
  CellRecord,
  ConversionMetrics,
  DivergenceMetrics,
  PerplexityMetrics,
  ThroughputMetrics,
} from "../experiment/record.ts";

/** The metrics of cells that ended well, by context length in tokens, ascending. */
export interface Measurements {
  readonly perplexity: ReadonlyMap<number, PerplexityMetrics>;
  readonly divergence: ReadonlyMap<number, DivergenceMetrics>;
  readonly throughput: ReadonlyMap<number, ThroughputMetrics>;
  readonly cache?: CacheMetrics;
  readonly conversion?: ConversionMetrics;
  /** Contexts whose throughput cell ended for want of memory. */
  readonly outOfMemory: readonly number[];
}

/** Sorts the cells of one variant. */
export function measurementsOf(cells: readonly CellRecord[]): Measurements {
  const perplexity = new Map<number, PerplexityMetrics>();
  const divergence = new Map<number, DivergenceMetrics>();
  const throughput = new Map<number, ThroughputMetrics>();
  const outOfMemory: number[] = [];
  let cache: CacheMetrics | undefined;
  let conversion: ConversionMetrics | undefined;
  for (const cell of cells) {
    const { contextTokens } = cell;
    if (
      cell.status === "oom" && cell.measure === "throughput" &&
      contextTokens !== undefined
    ) outOfMemory.push(contextTokens);
    if (cell.status !== "ok" || cell.metrics === undefined) continue;
    switch (cell.measure) {
      case "perplexity":
        perplexity.set(
          contextTokens ?? cell.metrics.windowTokens,
          cell.metrics,
        );
        break;
      case "divergence":
        divergence.set(
          contextTokens ?? cell.metrics.windowTokens,
          cell.metrics,
        );
        break;
      case "throughput":
        throughput.set(contextTokens ?? 0, cell.metrics);
        break;
      case "cache":
        // The longest context states the measured bytes best.
        if (
          cache === undefined ||
          cell.metrics.measuredTokens > cache.measuredTokens
        ) cache = cell.metrics;
        break;
      case "conversion":
        conversion = cell.metrics;
    }
  }
  return {
    perplexity: ascending(perplexity),
    divergence: ascending(divergence),
    throughput: ascending(throughput),
    outOfMemory,
    ...(cache === undefined ? {} : { cache }),
    ...(conversion === undefined ? {} : { conversion }),
  };
}

/**
 * The means of a variant over its calibration seeds, each context over those
 * that were measured there. Standard errors stay those over windows.
 *
 * @param seeds One set of measurements a seed.
 */
export function meanOverSeeds(seeds: readonly Measurements[]): Measurements {
  const caches = seeds.flatMap(({ cache }) => cache ?? []);
  const conversions = seeds.flatMap(({ conversion }) => conversion ?? []);
  return {
    perplexity: byContext(seeds.map(({ perplexity }) => perplexity), (all) => {
      const { deltaNll: _, deltaNllCi95: _ci95, ...first } = all[0]!;
      // Paired with the baseline's windows, these give the mean difference.
      const windowNll = meanOf(all.map((one) => one.windowNll));
      return {
        ...first,
        value: mean(all.map(({ value }) => value)),
        meanNll: mean(all.map(({ meanNll }) => meanNll)),
        stderr: meanAndStderr(windowNll).stderr,
        windowNll,
      };
    }),
    divergence: byContext(seeds.map(({ divergence }) => divergence), (all) => {
      // Texts of one seed are not the group's.
      const { continuations: _, ...first } = all[0]!;
      const windowKl = meanOf(all.map((one) => one.windowKl));
      return {
        ...first,
        klNats: mean(all.map(({ klNats }) => klNats)),
        klStderr: meanAndStderr(windowKl).stderr,
        windowKl,
        top1Agreement: mean(all.map(({ top1Agreement }) => top1Agreement)),
        windowAgreement: meanOf(all.map((one) => one.windowAgreement)),
      };
    }),
    throughput: byContext(seeds.map(({ throughput }) => throughput), (all) => ({
      ...all[0]!,
      ...(all[0]!.prefillTokensPerSecond === undefined ? {} : {
        prefillTokensPerSecond: mean(
          all.map((one) => one.prefillTokensPerSecond!),
        ),
      }),
      decodeTokensPerSecond: mean(all.map((one) => one.decodeTokensPerSecond)),
      p50Ms: mean(all.map((one) => one.p50Ms)),
      p95Ms: mean(all.map((one) => one.p95Ms)),
    })),
    outOfMemory: [...new Set(seeds.flatMap(({ outOfMemory }) => outOfMemory))],
    ...(caches.length === 0 ? {} : { cache: caches[0]! }),
    ...(conversions.length === 0 ? {} : {
      conversion: {
        ...conversions[0]!,
        keptEnergyByLayer: meanOf(
          conversions.map(({ keptEnergyByLayer }) => keptEnergyByLayer),
        ),
      },
    }),
  };
}

function byContext<M>(
  seeds: readonly ReadonlyMap<number, M>[],
  combine: (all: readonly M[]) => M,
): ReadonlyMap<number, M> {
  const contexts = new Set(seeds.flatMap((one) => [...one.keys()]));
  return ascending(
    new Map([...contexts].map((context) => [
      context,
      combine(seeds.flatMap((one) => one.get(context) ?? [])),
    ])),
  );
}

function ascending<M>(map: ReadonlyMap<number, M>): ReadonlyMap<number, M> {
  return new Map([...map].sort((a, b) => a[0] - b[0]));
}

function mean(values: readonly number[]): number {
  return meanAndStderr(values).mean;
}

/** Element by element; empty where the lists differ in length. */
function meanOf(lists: readonly (readonly number[])[]): readonly number[] {
  const [first = []] = lists;
  return lists.some((list) => list.length !== first.length)
    ? []
    : first.map((_, i) => mean(lists.map((list) => list[i]!)));
}
