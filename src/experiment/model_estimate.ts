// What a model's cache will take, original and converted, from its configuration
// alone: arithmetic, with the equations to show.
//
// Letters: L layers, D hiddenSize, H query heads, G key-value heads, d headDim,
// m qkRopeHeadDim, r kvLoraRank.

import { InputError } from "../base/errors.ts";
import { transmla } from "../conversion/methods/transmla.ts";
import {
  cacheReduction,
  fullCacheElements,
  latentCacheElements,
  type LatentWidths,
} from "../model/cache_arithmetic.ts";
import type { ModelConfig } from "../model/config.ts";
import { parameterCount } from "./estimate.ts";

/** Bytes of an element by type. */
export const ELEMENT_BYTES = { f16: 2, f32: 4 } as const;

/** What to estimate for. */
export interface CacheRequest {
  readonly dtype: keyof typeof ELEMENT_BYTES;
  /** Sequences. */
  readonly batch: number;
  readonly contexts: readonly number[];
  /** Of weights and cache together: the largest batch that fits is found. */
  readonly memoryBytes?: number;
}

/** A cache by context. */
export interface CacheEstimate {
  /** "original", or "m64 r512". */
  readonly label: string;
  /** Absent for the original. */
  readonly widths?: LatentWidths;
  readonly elementsPerTokenPerLayer: number;
  /** Part of the original's cache that is saved, 0-1. */
  readonly reduction: number;
  readonly bytesPerToken: number;
  /** Weights without norms and biases, of the type asked for. */
  readonly weightBytes: number;
  readonly byContext: readonly {
    readonly contextTokens: number;
    /** Of the whole batch. */
    readonly cacheBytes: number;
    /** Sequences that fit memoryBytes beside the weights; 0 where none does. */
    readonly largestBatch?: number;
  }[];
}

/** A figure with the way to it: "2·G·d", "2 · 32 · 128", 8192. */
export interface Equation {
  readonly what: string;
  readonly symbols: string;
  readonly numbers: string;
  readonly value: number;
  readonly unit: "numbers" | "bytes" | "part";
}

/**
 * Refuses sizes that a conversion of the model cannot have.
 *
 * @param config The model.
 * @param widths m and r.
 * @throws {InputError} In the words of method transmla.
 */
export function checkLatentWidths(
  config: ModelConfig,
  { qkRopeHeadDim, kvLoraRank }: LatentWidths,
): void {
  try {
    const options = { freqFold: "auto", qkRopeHeadDim, kvLoraRank };
    transmla.check(
      transmla.options.parse(options) as Parameters<typeof transmla.check>[0],
      config,
    );
  } catch (error) {
    if (error instanceof RangeError) throw new InputError(error.message);
    throw error;
  }
}

/**
 * Estimates the caches of the original and of conversions.
 *
 * @param config The model.
 * @param widths m and r of each conversion.
 * @param request Element type, batch, contexts.
 * @returns The original's first.
 */
export function estimateCaches(
  config: ModelConfig,
  widths: readonly LatentWidths[],
  request: CacheRequest,
): CacheEstimate[] {
  const elementBytes = ELEMENT_BYTES[request.dtype];
  const full = fullCacheElements(config);
  return [undefined, ...widths].map((width) => {
    const elements = width === undefined ? full : latentCacheElements(width);
    const bytesPerToken = config.numHiddenLayers * elements * elementBytes;
    const weightBytes = elementBytes *
      (width === undefined
        ? parameterCount(config)
        : latentParameterCount(config, width));
    return {
      label: width === undefined
        ? "original"
        : `m${width.qkRopeHeadDim} r${width.kvLoraRank}`,
      ...(width === undefined ? {} : { widths: width }),
      elementsPerTokenPerLayer: elements,
      reduction: cacheReduction(elements, full),
      bytesPerToken,
      weightBytes,
      byContext: request.contexts.map((contextTokens) => ({
        contextTokens,
        cacheBytes: request.batch * contextTokens * bytesPerToken,
        ...(request.memoryBytes === undefined ? {} : {
          largestBatch: Math.max(
            0,
            Math.floor(
              (request.memoryBytes - weightBytes) /
                (contextTokens * bytesPerToken),
            ),
          ),
        }),
      })),
    };
  });
}

/**
 * Parameters of a converted model, as the suite runs it: queries of d + m a
 * head, one down-projection to r + m, up-projections shared by a group's heads.
 *
 * @param config The original.
 * @param widths m and r.
 * @returns All weights but norms and biases; tied embeddings counted once.
 */
export function latentParameterCount(
  config: ModelConfig,
  { qkRopeHeadDim: m, kvLoraRank: r }: LatentWidths,
): number {
  const { hiddenSize: D, numAttentionHeads: H } = config;
  const full = fullCacheElements(config);
  return parameterCount(config) +
    config.numHiddenLayers * (D * H * m + D * (r + m) + full * r - D * full);
}

/**
 * The equations behind a model's caches.
 *
 * @param config The model.
 * @param caches Of estimateCaches().
 * @param request As for it.
 */
export function cacheEquations(
  { numHiddenLayers: L, numKeyValueHeads: G, headDim: d }: ModelConfig,
  caches: readonly CacheEstimate[],
  { dtype, batch, contexts }: CacheRequest,
): Equation[] {
  const elementBytes = ELEMENT_BYTES[dtype];
  const longest = contexts.at(-1) ?? 0;
  const full = caches[0]!.elementsPerTokenPerLayer;
  return caches.flatMap((cache): Equation[] => {
    const { label, widths, elementsPerTokenPerLayer, bytesPerToken } = cache;
    const kept: Equation[] = widths === undefined
      ? [{
        what: `${label}, a token and layer`,
        symbols: "2·G·d",
        numbers: product(2, G, d),
        value: full,
        unit: "numbers",
      }]
      : [{
        what: `${label}, a token and layer`,
        symbols: "m + r",
        numbers: `${count(widths.qkRopeHeadDim)} + ${count(widths.kvLoraRank)}`,
        value: elementsPerTokenPerLayer,
        unit: "numbers",
      }, {
        what: `${label}, change`,
        symbols: "(m + r) / (2·G·d) − 1",
        numbers: `${count(elementsPerTokenPerLayer)} / ${count(full)} − 1`,
        value: elementsPerTokenPerLayer / full - 1,
        unit: "part",
      }];
    return [
      ...kept,
      {
        what: `${label}, a token`,
        symbols: "L·numbers·bytes",
        numbers: product(L, elementsPerTokenPerLayer, elementBytes),
        value: bytesPerToken,
        unit: "bytes",
      },
      {
        what: `${label}, ${count(longest)} tokens`,
        symbols: "batch·tokens·bytes",
        numbers: product(batch, longest, bytesPerToken),
        value: batch * longest * bytesPerToken,
        unit: "bytes",
      },
    ];
  });
}

/** Factors as text, "32 · 576 · 2". */
export function product(...factors: readonly number[]): string {
  return factors.map(count).join(" · ");
}

/** A number with its thousands set apart. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}
