// The attention of a layer in a graph, whatever its kind.

import { groupedDecode, groupedPrefill } from "./attention_gqa.ts";
import { sharedRotaryDecode, sharedRotaryPrefill } from "./attention_latent.ts";
import type { GraphScope } from "./graph_scope.ts";
import type { AttentionSizes } from "./layer_weights.ts";

/** What attention hands on. */
export interface AttentionResult {
  /** Before oProj, `[N, H·v]`. */
  readonly mixed: string;
  /** The cache's two parts for these tokens, in the order of the tokens; the second may be empty. */
  readonly first: string;
  readonly second: string | undefined;
}

/** The cached tokens as inputs, `[P, ...axes]`. */
export interface Past {
  first(axes: readonly number[]): string;
  second(axes: readonly number[]): string;
}

/** Causal attention over whole sequences. h `[B·T, D]`. */
export function attentionPrefill(
  scope: GraphScope,
  sizes: AttentionSizes,
  h: string,
  tokens: number,
): AttentionResult {
  return sizes.kind === "grouped"
    ? groupedPrefill(scope, sizes, h, tokens)
    : sharedRotaryPrefill(scope, sizes, h, tokens);
}

/** Attention of one new token a sequence over the cache and itself. h `[B, D]`. */
export function attentionDecode(
  scope: GraphScope,
  sizes: AttentionSizes,
  h: string,
  batch: number,
  past: Past,
): AttentionResult {
  return sizes.kind === "grouped"
    ? groupedDecode(scope, sizes, h, batch, past)
    : sharedRotaryDecode(scope, sizes, h, batch, past);
}

/** Numbers a token in the cache's two parts. */
export function cachedWidths(
  sizes: AttentionSizes,
): readonly [first: number, second: number] {
  switch (sizes.kind) {
    case "grouped": {
      const width = sizes.groups * sizes.headDim;
      return [width, width];
    }
    case "merged":
      return [
        sizes.rotaryDim + sizes.sourceDim,
        sizes.groups * sizes.valueDim,
      ];
    case "latent":
      return [sizes.sourceDim, sizes.rotaryDim];
    default:
      return sizes satisfies never;
  }
}
