// Where the columns of latent attention lie in cases of absorbStore().

import type { AbsorbStoreArgs } from "../absorb_store.ts";

/** Heads and widths of latent attention. */
export interface AbsorbSizes {
  readonly heads: number;
  readonly groups: number;
  readonly nope: number;
  readonly rotary: number;
  readonly rank: number;
}

/** Queries, latent and rotary key side by side. */
export function regionsOf(
  { heads, nope, rotary, rank }: AbsorbSizes,
  rotaryFirst: boolean,
): Pick<AbsorbStoreArgs, "query" | "first" | "second" | "rank"> {
  const width = nope + rotary;
  const start = heads * width;
  return {
    rank,
    query: {
      start: 0,
      heads,
      width,
      rotaryStart: rotaryFirst ? 0 : nope,
      rotaryWidth: rotary,
    },
    first: { start, heads: 1, width: rank, rotaryStart: 0, rotaryWidth: 0 },
    second: {
      start: start + rank,
      heads: 1,
      width: rotary,
      rotaryStart: 0,
      rotaryWidth: rotary,
    },
  };
}
