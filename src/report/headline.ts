// The report's opening sentences: what was saved, what it cost, and the speed.

import {
  formatNumber,
  formatPercent,
  formatPerplexity,
  formatPerplexityError,
  formatRatio,
} from "./format.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import type { RunData } from "./load.ts";
import { modelNames } from "./protocol.ts";
import { contextsOf, mainContext, type Series } from "./series.ts";
import { perplexityError, seedsNoun } from "./spread.ts";
import { speedup } from "./quantities.ts";

/**
 * The result in two or three sentences: how far the cache shrank, what it cost
 * in perplexity and what it gave in speed.
 *
 * @param series All series.
 * @param run Their run.
 * @returns Plain text.
 */
export function headline(series: readonly Series[], run: RunData): string {
  const others = series.filter((one) => !one.isBaseline);
  const base = series.find((one) => one.isBaseline);
  const model = modelNames(run);
  if (others.length === 0) return `Measurements of ${model}, unchanged.`;
  const sentences: string[] = [];
  const reductions = others.map((one) => one.cache?.reduction).filter((value) =>
    value !== undefined
  ).sort((a, b) => a - b);
  const { variants, loads } = counts(others);
  const noun = variants === 1
    ? `The conversion of ${model}`
    : `${countWord(variants)} variants of ${model}`;
  const under = loads > 1 ? ` under ${loads} loads` : "";
  if (reductions.length > 0) {
    const [low, high] = [reductions[0]!, reductions.at(-1)!];
    const least = formatPercent(low);
    const most = formatPercent(high);
    sentences.push(
      `${noun} ${variants === 1 ? "cuts" : "cut"} the KV cache by ${
        least === most ? most : `between ${least} and ${most}`
      }.`,
    );
  } else {
    sentences.push(
      `${noun} ${variants === 1 ? "was" : "were"} measured${under}.`,
    );
  }

  const context = mainContext(series);
  const texts = new Set(
    series.flatMap((one) =>
      context === undefined ? [] : one.perplexity.get(context)?.textSha256 ?? []
    ),
  );
  // Perplexities of different texts cannot be ranked.
  const measured = context === undefined || texts.size > 1
    ? []
    : others.filter((one) =>
      one.perplexity.has(context) && (one.cache?.reduction ?? 1) > 0
    );
  if (context !== undefined && measured.length > 0) {
    const value = (one: Series) => one.perplexity.get(context)!.value;
    const withError = (one: Series) => {
      const metrics = one.perplexity.get(context)!;
      const error = formatPerplexityError(
        metrics.value,
        perplexityError(one, context),
      );
      return formatPerplexity(metrics.value) +
        (one.seeds !== undefined
          ? ` ± ${error} over ${seedsNoun(one.seeds.length)}`
          : metrics.windows > 1
          ? ` ± ${error}`
          : "");
    };
    const best = measured.reduce((a, b) => value(b) < value(a) ? b : a);
    const against = base?.perplexity.has(context)
      ? ` against ${withError(base)} of the ${base.label}`
      : "";
    const savesLess = others.some((one) =>
      one.perplexity.has(context) && !measured.includes(one)
    );
    const kept = best.cache === undefined || others.length === 1
      ? ""
      : ` with ${formatPercent(1 - best.cache.reduction)} of the cache left`;
    sentences.push(
      `${
        others.length === 1
          ? "It"
          : `The most accurate${
            savesLess ? " that saves cache" : ""
          }, ${best.label},`
      } reaches perplexity ${withError(best)}${kept}${
        kept === "" || against === "" ? "" : ","
      }${against} (${best.perplexity.get(context)!.text}, ${
        formatNumber(context)
      }-token windows).`,
    );
  }

  const speed = speedSentence(others, series);
  if (speed !== "") sentences.push(speed);
  return sentences.join(" ");
}

/** Variants, whatever the load, and the loads under which speed was measured. */
function counts(
  series: readonly Series[],
): { readonly variants: number; readonly loads: number } {
  const loads = new Set(
    series.flatMap(({ load }) => load === undefined ? [] : [loadText(load)]),
  ).size;
  if (loads === 0) return { variants: series.length, loads: 1 };
  const names = series.map(({ variant, modelId, engine, runName }) =>
    JSON.stringify([variant, modelId, engine, runName])
  );
  return { variants: new Set(names).size, loads };
}

/** A lead over the next that few times do not make certain. */
const CLEAR_LEAD = 1.05;

/** The speed at the longest context; the fastest is named where it leads clearly. */
function speedSentence(
  others: readonly Series[],
  all: readonly Series[],
): string {
  const ratiosAt = (tokens: number) =>
    others.flatMap((one) => {
      const ratio = speedup(one, all, tokens);
      return ratio === undefined ? [] : [{ one, ratio }];
    }).sort((a, b) => b.ratio - a.ratio);
  const longest = contextsOf(all, "throughput").findLast((tokens) =>
    ratiosAt(tokens).length > 0
  );
  if (longest === undefined) return "";
  const ratios = ratiosAt(longest);
  const [first, second] = ratios;
  const where = `At ${formatNumber(longest)} tokens of context`;
  const { loads, variants } = counts(others);
  // Ratios of several loads name no fastest: their baselines differ.
  const isClear = second === undefined ||
    loads === 1 && first!.ratio > second.ratio * CLEAR_LEAD;
  if (isClear) {
    return `${where} ${
      others.length === 1
        ? "it"
        : `${first!.one.label}${loads > 1 ? "" : ", the fastest conversion,"}`
    } decodes at ${formatRatio(first!.ratio)} the baseline’s speed.`;
  }
  // One digit that counts, two from 1 to 10.
  const digits = (value: number) =>
    formatNumber(value, value >= 10 ? 0 : value >= 0.095 ? 1 : 2);
  const [low, high] = [digits(ratios.at(-1)!.ratio), digits(first!.ratio)];
  return `${where} ${
    variants === 1 ? "it decodes" : "the conversions decode"
  } at about ${
    low === high ? high : `${low}× to ${high}`
  }× the baseline’s speed${loads > 1 ? " under the same load" : ""}.`;
}

/** A count in words, capitalized, where there is a word for it. */
export function countWord(count: number): string {
  return COUNT_WORDS[count] ?? formatNumber(count);
}

const COUNT_WORDS: Readonly<Record<number, string>> = {
  2: "Two",
  3: "Three",
  4: "Four",
  5: "Five",
  6: "Six",
  7: "Seven",
  8: "Eight",
  9: "Nine",
  10: "Ten",
  11: "Eleven",
  12: "Twelve",
};
