// Numbers that a cache must keep, from a model's sizes alone (§3, Table 1).
//
// Letters: L layers, G key-value heads, d headDim, m qkRopeHeadDim, r kvLoraRank.

import type { ModelConfig } from "./config.ts";

/** What of a model its cache depends on. */
export type CacheShape = Pick<
  ModelConfig,
  "numHiddenLayers" | "numKeyValueHeads" | "headDim"
>;

/** What of a conversion its cache depends on. */
export interface LatentWidths {
  /** m */
  readonly qkRopeHeadDim: number;
  /** r */
  readonly kvLoraRank: number;
}

/** Numbers a token and layer of keys and values of all heads: 2·G·d. */
export function fullCacheElements(
  { numKeyValueHeads, headDim }: Omit<CacheShape, "numHiddenLayers">,
): number {
  return 2 * numKeyValueHeads * headDim;
}

/** Numbers a token and layer of a latent and its rotary part: r + m. */
export function latentCacheElements(
  { qkRopeHeadDim, kvLoraRank }: LatentWidths,
): number {
  return qkRopeHeadDim + kvLoraRank;
}

/** Part of the original's cache that is saved, 0-1; negative where more is kept. */
export function cacheReduction(kept: number, full: number): number {
  return 1 - kept / full;
}

/** What is kept in Table 1 at -68.75, -81.25 and -87.5 %. */
const KEPT_PARTS = [5 / 16, 3 / 16, 1 / 8] as const;

/** The official code's default, 576 numbers for every model (README of fxmeng/TransMLA). */
const OFFICIAL: LatentWidths = { qkRopeHeadDim: 64, kvLoraRank: 512 };

/**
 * The latent caches that the paper chooses for a model: 5/16, 3/16 and 1/8 of
 * the original's numbers, and 512 + 64 where that is less than the original's.
 * The split of the former is not published: m is the widest even divisor of d
 * that is at most 64 and at most half of what is kept.
 *
 * @param shape G and d.
 * @returns By falling size, none twice.
 */
export function paperLatentWidths(
  shape: Omit<CacheShape, "numHiddenLayers">,
): LatentWidths[] {
  const full = fullCacheElements(shape);
  const { headDim } = shape;
  const widths: LatentWidths[] = [];
  for (const part of KEPT_PARTS) {
    const kept = Math.floor(full * part);
    const qkRopeHeadDim = rotaryWidth(headDim, Math.min(64, kept / 2));
    if (qkRopeHeadDim === undefined) continue;
    widths.push({ qkRopeHeadDim, kvLoraRank: kept - qkRopeHeadDim });
  }
  if (
    headDim % OFFICIAL.qkRopeHeadDim === 0 &&
    latentCacheElements(OFFICIAL) < full
  ) widths.push(OFFICIAL);
  const bySize = new Map(
    widths.map((width) => [latentCacheElements(width), width]),
  );
  return [...bySize.values()].sort((a, b) =>
    latentCacheElements(b) - latentCacheElements(a)
  );
}

/** The widest even divisor of d up to a limit. */
function rotaryWidth(headDim: number, limit: number): number | undefined {
  for (let width = Math.floor(limit / 2) * 2; width >= 2; width -= 2) {
    if (headDim % width === 0) return width;
  }
  return undefined;
}
