// Whether a record's figures agree with each other: a file that was edited or
// damaged within its schema shows here.

import { meanAndStderr } from "../evaluation/perplexity.ts";
import { fullCacheElements } from "../model/cache_arithmetic.ts";
import type { CellRecord, ThroughputMetrics } from "./record.ts";

/** Sums in another order, of thousands of windows. */
const ROUNDING = 1e-9;

/** The reference engine keeps f64; a type that is not known here is not checked. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  f16: 2,
  f32: 4,
  f64: 8,
};

/**
 * Checks one record.
 *
 * @param record Of parseCell().
 * @returns What contradicts, one line each: "perplexity.value is 21.7: exp(meanNll) is 21.6".
 */
export function auditRecord(record: CellRecord): string[] {
  const problems: string[] = [];
  const expect = (
    field: string,
    found: number,
    what: string,
    value: number,
  ) => {
    const scale = Math.max(Math.abs(found), Math.abs(value), 1e-300);
    if (Math.abs(found - value) / scale <= ROUNDING) return;
    problems.push(
      `${record.measure}.${field} is ${found}: ${what} is ${value}`,
    );
  };
  const refuse = (field: string, found: unknown, allowed: string) =>
    problems.push(`${record.measure}.${field} is ${found}: allowed ${allowed}`);
  if (record.metrics === undefined) {
    if (record.error === undefined) {
      problems.push(`${record.status} without error`);
    }
    return problems;
  }
  const { contextTokens } = record;
  switch (record.measure) {
    case "perplexity": {
      const { windowNll, ...metrics } = record.metrics;
      const { mean, stderr } = meanAndStderr(windowNll);
      expect("value", metrics.value, "exp(meanNll)", Math.exp(metrics.meanNll));
      expect("meanNll", metrics.meanNll, "the mean of windowNll", mean);
      expect("stderr", metrics.stderr, "that of windowNll", stderr);
      auditWindows(metrics, [windowNll.length], contextTokens, expect);
      break;
    }
    case "divergence": {
      const { windowKl, windowAgreement, ...metrics } = record.metrics;
      const { mean, stderr } = meanAndStderr(windowKl);
      expect("klNats", metrics.klNats, "the mean of windowKl", mean);
      expect("klStderr", metrics.klStderr, "that of windowKl", stderr);
      expect(
        "top1Agreement",
        metrics.top1Agreement,
        "the mean of windowAgreement",
        meanAndStderr(windowAgreement).mean,
      );
      auditWindows(
        metrics,
        [windowKl.length, windowAgreement.length],
        contextTokens,
        expect,
      );
      break;
    }
    case "cache": {
      const { elementsByLayer, ...metrics } = record.metrics;
      const total = elementsByLayer.reduce((sum, n) => sum + n, 0);
      const { dtype, cacheDtype } = record.engine;
      const elementBytes = ELEMENT_BYTES[cacheDtype ?? dtype];
      expect(
        "elementsPerTokenPerLayer",
        metrics.elementsPerTokenPerLayer,
        "the mean of elementsByLayer",
        total / elementsByLayer.length,
      );
      if (elementBytes !== undefined) {
        expect(
          "bytesPerToken",
          metrics.bytesPerToken,
          "that of elementsByLayer",
          total * elementBytes,
        );
      }
      // Rounding of a difference of nearly equal numbers is not relative to it.
      const full = fullCacheElements(record.model);
      expect(
        "reduction",
        1 - metrics.reduction,
        "the part of the original's numbers",
        metrics.elementsPerTokenPerLayer / full,
      );
      if (contextTokens !== undefined) {
        expect(
          "measuredTokens",
          metrics.measuredTokens,
          "the context",
          contextTokens,
        );
      }
      break;
    }
    case "throughput": {
      const { p50Ms, p95Ms, batchSize, decodeTokensPerSecond } = record.metrics;
      auditThroughput(record.metrics, expect);
      expect(
        "decodeTokensPerSecond",
        decodeTokensPerSecond,
        "batchSize / p50Ms",
        1000 * batchSize / p50Ms,
      );
      if (p95Ms < p50Ms) refuse("p95Ms", p95Ms, `>= p50Ms, ${p50Ms}`);
      break;
    }
    case "conversion": {
      const { keptEnergyByLayer } = record.metrics;
      const layers = record.model.numHiddenLayers;
      if (![0, layers].includes(keptEnergyByLayer.length)) {
        refuse(
          "keptEnergyByLayer",
          `of ${keptEnergyByLayer.length}`,
          `${layers}`,
        );
      }
      keptEnergyByLayer.forEach((kept, layer) => {
        if (!(kept >= -ROUNDING && kept <= 1 + ROUNDING)) {
          refuse(`keptEnergyByLayer.${layer}`, kept, "0 to 1");
        }
      });
      break;
    }
    default:
      record satisfies never;
  }
  return problems;
}

/** Sums and quotients that a cell of throughput may state. */
function auditThroughput(
  { memory, memoryBytes, roofline, requests, ...metrics }: ThroughputMetrics,
  expect: (field: string, found: number, what: string, value: number) => void,
): void {
  if (memory !== undefined) {
    expect(
      "memoryBytes",
      memoryBytes,
      "the sum of memory",
      memory.weightBytes + memory.cacheBytes + memory.scratchBytes,
    );
  }
  if (roofline !== undefined) {
    const { stepBytes, copyBytesPerSecond, tokensPerSecond } = roofline;
    expect(
      "roofline.tokensPerSecond",
      tokensPerSecond,
      "batchSize · copyBytesPerSecond / stepBytes",
      metrics.batchSize * copyBytesPerSecond / stepBytes,
    );
    expect(
      "roofline.fraction",
      roofline.fraction,
      "decodeTokensPerSecond / roofline.tokensPerSecond",
      metrics.decodeTokensPerSecond / tokensPerSecond,
    );
  }
  if (requests !== undefined) {
    expect(
      "requests.outputTokensPerSecond",
      requests.outputTokensPerSecond,
      "count · outputTokens / seconds",
      requests.count * requests.outputTokens / requests.seconds,
    );
  }
}

function auditWindows(
  { windows, windowTokens, tokens }: {
    readonly windows: number;
    readonly windowTokens: number;
    readonly tokens: number;
  },
  lengths: readonly number[],
  contextTokens: number | undefined,
  expect: (field: string, found: number, what: string, value: number) => void,
): void {
  for (const length of lengths) {
    expect("windows", windows, "the number of their figures", length);
  }
  expect("tokens", tokens, "windows · windowTokens", windows * windowTokens);
  if (contextTokens !== undefined) {
    expect("windowTokens", windowTokens, "the context", contextTokens);
  }
}
