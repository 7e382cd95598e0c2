// What fill() puts into a cache: the same numbers in every engine, so that one can
// be checked by another where no prefill was.

import { mix, type Seeded } from "../base/seeded_tensor.ts";
import type { CacheFill } from "./engine.ts";

/**
 * Refuses what no cache can be filled with.
 *
 * @param fill How much.
 * @throws {RangeError} If a number is no integer or out of range.
 */
export function checkFill(
  { batch, tokens, reserve = 0, seed }: CacheFill,
): void {
  const least = { batch: 1, tokens: 1, reserve: 0, seed: 0 };
  for (
    const [name, value] of Object.entries({ batch, tokens, reserve, seed })
  ) {
    const from = least[name as keyof typeof least];
    if (Number.isInteger(value) && value >= from && value < 2 ** 32) continue;
    throw new RangeError(
      `Cannot fill a cache as ${name} must be an integer in ${from}..${
        2 ** 32 - 1
      }: current value is ${value}`,
    );
  }
}

/**
 * How a part of a layer's cache is made: numbers of variance 1. That of sequence
 * b, position t and column j has index (b·capacity + t)·width + j.
 *
 * @param seed Of the fill.
 * @param layer Index of the layer.
 * @param part "first" and "second" as in CacheWidths.
 */
export function cachePart(
  seed: number,
  layer: number,
  part: "first" | "second",
): Seeded {
  return {
    seed: partSeed(seed, 2 * layer + (part === "first" ? 0 : 1)),
    scale: Math.fround(Math.sqrt(3)),
    first: 0,
  };
}

/**
 * The token that each sequence is fed next.
 *
 * @param seed Of the fill.
 * @param batch Sequences.
 * @param vocabSize V
 * @returns Token ids, [B].
 */
export function fedTokens(
  seed: number,
  batch: number,
  vocabSize: number,
): Uint32Array {
  const own = partSeed(seed, -2);
  return Uint32Array.from(
    { length: batch },
    (_, b) => Math.floor(partSeed(own, b) / 2 ** 32 * vocabSize),
  );
}

/** The u32 seed of one of several parts. */
function partSeed(seed: number, part: number): number {
  return mix(mix(seed) + part + 1) >>> 0;
}
