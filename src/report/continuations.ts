// Greedy continuations of the original and its variants under one another, cut
// where they begin to differ.

import type { DivergenceMetrics } from "../experiment/record.ts";
import { eachSeed, mainContext, type Series } from "./series.ts";

/** A prompt with what the original and every variant write after it. */
export interface Continuations {
  readonly prompt: string;
  readonly original: string;
  /** Tokens that each adds. */
  readonly tokens: number;
  readonly variants: readonly {
    readonly series: Series;
    readonly commonTokens: number;
    readonly text: SplitText;
  }[];
}

/** A text in three parts. */
export interface SplitText {
  /** What it has in common with the original's beginning. */
  readonly same: string;
  /** The first word, or rest of one, that differs; "" where the texts are equal. */
  readonly first: string;
  readonly rest: string;
}

/**
 * Collects the recorded continuations by prompt.
 *
 * @param series All series; seeds are listed one by one.
 * @returns One entry a prompt and original text, in the order of the records.
 */
export function continuationsOf(series: readonly Series[]): Continuations[] {
  const context = mainContext(series, "divergence");
  const prompts = new Map<
    string,
    {
      -readonly [K in keyof Continuations]: Continuations[K] extends
        readonly (infer T)[] ? T[] : Continuations[K];
    }
  >();
  for (const one of eachSeed(series)) {
    for (const pair of pairsOf(one, context)) {
      const key = JSON.stringify([pair.prompt, pair.original]);
      const entry = prompts.get(key) ??
        {
          prompt: pair.prompt,
          original: pair.original,
          tokens: pair.tokens,
          variants: [],
        };
      entry.variants.push({
        series: one,
        commonTokens: pair.commonTokens,
        text: splitText(pair.original, pair.variant),
      });
      prompts.set(key, entry);
    }
  }
  return [...prompts.values()];
}

/** Of the main context, else of the first that has any. */
function pairsOf(
  { divergence }: Series,
  context: number | undefined,
): NonNullable<DivergenceMetrics["continuations"]> {
  const main = context === undefined ? undefined : divergence.get(context);
  return [main, ...divergence.values()].find((metrics) =>
    metrics?.continuations !== undefined
  )?.continuations ?? [];
}

/**
 * Cuts a text where it first differs from another.
 *
 * @param original What it is compared with.
 * @param variant The text to cut.
 */
export function splitText(original: string, variant: string): SplitText {
  let end = 0;
  while (end < variant.length && variant[end] === original[end]) end++;
  // Never between the halves of a character.
  if (/[\ud800-\udbff]/.test(variant[end - 1] ?? "")) end--;
  const [first = ""] = /^\s*\S*/.exec(variant.slice(end)) ?? [];
  return {
    same: variant.slice(0, end),
    first,
    rest: variant.slice(end + first.length),
  };
}
