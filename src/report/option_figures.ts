// Figures of an ablation: perplexity by one option of the method, all other
// options equal, and with the key-value balance on and off.

import {
  axis,
  type Figure,
  GLYPHS,
  plotText,
  spansDecades,
  type Trace,
} from "./figure.ts";
import { joinWords } from "./format.ts";
import type { RunData } from "./load.ts";
import { calibrationProtocol, protocol } from "./protocol.ts";
import { type Delta, deltaNll, mainContext, type Series } from "./series.ts";
import { COLOR_COUNT, SYMBOLS } from "./series_styles.ts";
import {
  errorBars,
  errorMeaning,
  perplexityError,
  seedBars,
} from "./spread.ts";

const OPTIONS = {
  freqFold: {
    id: "perplexity-by-freqfold",
    title: "Perplexity by FreqFold",
    axis: "FreqFold: frequencies sharing one rotation (F)",
    word: "FreqFold",
  },
  kvLoraRank: {
    id: "perplexity-by-rank",
    title: "Perplexity by rank of the latent",
    axis: "rank of the latent (r)",
    word: "rank",
  },
} as const;

/**
 * Perplexity over one numeric option; a line joins variants equal in all others
 * and has one color. A variant whose option the method chose is a ring.
 *
 * @returns undefined where no line has two points.
 */
export function byOption(
  series: readonly Series[],
  run: RunData,
  option: keyof typeof OPTIONS,
): Figure | undefined {
  const context = mainContext(series);
  if (context === undefined) return undefined;
  const words = OPTIONS[option];
  const lines = pairUp(
    series.filter((one) =>
      one.perplexity.has(context) && resolvedNumber(one, option) !== undefined
    ),
    option,
  ).filter((line) =>
    new Set(line.map((one) => resolvedNumber(one, option))).size > 1
  );
  if (lines.length === 0) return undefined;
  const x = (one: Series) => resolvedNumber(one, option)!;
  const y = (one: Series) => one.perplexity.get(context)!.value;
  const shown = lines.flat();
  const ticks = [...new Set(shown.map(x))].sort((a, b) => a - b);
  const base = series.find((one) =>
    one.isBaseline && one.perplexity.has(context)
  );
  const ys = [...shown.map(y), ...(base === undefined ? [] : [y(base)])];
  const drawn = lines.map((line, index) => ({
    line: [...line].sort((a, b) => x(a) - x(b)),
    color: `c${index % COLOR_COUNT}`,
    symbol: SYMBOLS[index % SYMBOLS.length]!,
  }));
  const isChosen = (one: Series) => typeof one.variant[option] === "string";
  const chosen = drawn.flatMap(({ line, color }) =>
    line.filter(isChosen).map((one) => ({ one, color }))
  );
  return {
    id: words.id,
    title: words.title,
    caption: `Lines join variants that are equal but for the ${words.word}${
      base === undefined ? "" : `; the dashed line is the ${base.label}`
    }${
      chosen.length === 0
        ? ""
        : `; rings, at the ${words.word} that was chosen, are ${
          joinWords([
            ...new Set(chosen.map(({ one }) => `“${one.variant[option]}”`)),
          ])
        }`
    }.${seedBars(shown)} ${protocol(run, { perplexity: context })} ${
      calibrationProtocol(run)
    }`
      .trim(),
    height: Math.max(420, lines.length * 17 + 90),
    data: [
      ...(base === undefined ? [] : [{
        type: "scatter",
        mode: "lines",
        x: [ticks[0]! / 10, ticks.at(-1)! * 10],
        y: [y(base), y(base)],
        line: { color: "muted", width: 1, dash: "dash" },
        hoverinfo: "skip",
      }]),
      ...drawn.map(({ line, color }): Trace => ({
        type: "scatter",
        mode: "lines",
        x: line.filter((one) => !isChosen(one)).map(x),
        y: line.filter((one) => !isChosen(one)).map(y),
        line: { color, width: 1.75 },
        hoverinfo: "skip",
      })),
      ...drawn.flatMap(({ line, color, symbol }) =>
        line.map((one): Trace => ({
          type: "scatter",
          mode: "markers",
          name: plotText(one.label),
          x: [x(one)],
          y: [y(one)],
          ...errorBars(
            [one.seeds === undefined ? 0 : perplexityError(one, context)],
            color,
          ),
          marker: isChosen(one)
            ? {
              color,
              symbol: "circle-open",
              size: 17,
              line: { color, width: 1.5 },
            }
            : { color, symbol, size: 9, line: { color: "page", width: 1 } },
          hovertemplate: `${
            plotText(one.label)
          }<br>perplexity %{y:,.4~f}<extra></extra>`,
        }))
      ),
    ],
    layout: {
      xaxis: axis({
        title: words.axis,
        values: ticks,
        isLog: option === "freqFold" || spansDecades(ticks, 8),
        ticks,
      }),
      yaxis: axis({ title: "perplexity", values: ys, isLog: spansDecades(ys) }),
    },
    labels: [
      ...drawn.map(({ line, color, symbol }) => ({
        kind: "end" as const,
        x: x(line.at(-1)!),
        y: y(line.at(-1)!),
        text: `${GLYPHS[symbol] ?? ""} ${plotText(lineName(line, option))}`
          .trim(),
        color,
      })),
      ...chosen.map(({ one, color }) => ({
        kind: "point" as const,
        x: x(one),
        y: y(one),
        text: plotText(String(one.variant[option])),
        color,
      })),
      ...(base === undefined ? [] : [{
        kind: "end" as const,
        x: ticks.at(-1)!,
        y: y(base),
        text: plotText(base.label),
        color: base.style.color,
      }]),
    ],
    key: shown,
    isNamed: true,
  };
}

/**
 * What balancing keys and values changes, beside the same variant without: the
 * NLL difference to the baseline where there is one, else the perplexity.
 *
 * @returns undefined where no variant was measured both ways.
 */
export function keyValueBalance(
  series: readonly Series[],
  run: RunData,
): Figure | undefined {
  const context = mainContext(series);
  if (context === undefined) return undefined;
  const pairs = pairUp(
    series.filter((one) =>
      one.perplexity.has(context) && one.variant["balanceKv"] !== undefined
    ),
    "balanceKv",
  ).flatMap((group) => {
    const off = group.find((one) => isOff(one.variant["balanceKv"]));
    return off === undefined ? [] : group.filter((one) => one !== off).map(
      (on) => ({ off, on }),
    );
  });
  if (pairs.length === 0) return undefined;
  const all = pairs.flatMap(({ off, on }) => [off, on]);
  const isDelta = all.every((one) =>
    deltaNll(one, series, context) !== undefined
  );
  const valueOf = (one: Series): Interval =>
    isDelta
      ? deltaInterval(deltaNll(one, series, context)!)
      : perplexityInterval(one, context);
  const intervals = all.map(valueOf);
  const title = isDelta ? "ΔNLL to the baseline, nats" : "perplexity";
  return {
    id: "balance-kv",
    title: "Key-value balance on and off",
    caption:
      `Open marks: without balancing keys and values before the joint PCA; filled: with. All other options are equal; bars are ${
        isDelta
          ? "95 % intervals of the difference to the baseline"
          : errorMeaning(all)
      }. ${protocol(run, { perplexity: context })} ${calibrationProtocol(run)}`
        .trim(),
    height: Math.max(220, pairs.length * 44 + 110),
    data: pairs.flatMap(({ off, on }, index): Trace[] =>
      ([[off, true], [on, false]] as const).map(([one, isOpen]) => {
        const { value, low, high } = valueOf(one);
        return {
          type: "scatter",
          mode: "markers",
          name: plotText(one.label),
          x: [value],
          y: [pairs.length - index + (isOpen ? 0.14 : -0.14)],
          error_x: {
            type: "data",
            symmetric: false,
            array: [high - value],
            arrayminus: [value - low],
            visible: high > low,
            color: on.style.color,
            thickness: 1,
            width: 3,
          },
          marker: {
            color: isOpen ? "page" : on.style.color,
            size: 10,
            symbol: "circle",
            line: { color: on.style.color, width: isOpen ? 2 : 1 },
          },
          hovertemplate: `${
            plotText(one.label)
          }<br>${title} %{x:,.4~f}<extra></extra>`,
        };
      })
    ),
    layout: {
      xaxis: axis({
        title,
        values: intervals.flatMap(({ low, high }) => [low, high]),
        fromZero: true,
      }),
      yaxis: {
        type: "linear",
        range: [0.4, pairs.length + 0.6],
        tickmode: "array",
        tickvals: pairs.map((_, index) => pairs.length - index),
        ticktext: pairs.map(({ off, on }) =>
          plotText(lineName([off, on], "balanceKv"))
        ),
        showgrid: false,
        zeroline: false,
      },
    },
    labels: [],
    key: pairs.map(({ on }) => on),
    isNamed: true,
  };
}

interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

function deltaInterval({ value, ci95 }: Delta): Interval {
  const [low, high] = ci95 ?? [value, value];
  return { value, low, high };
}

function perplexityInterval(one: Series, context: number): Interval {
  const { value } = one.perplexity.get(context)!;
  const error = perplexityError(one, context);
  return { value, low: value - error, high: value + error };
}

/** Groups series that are equal but for `option`, on one model and engine. */
function pairUp(series: readonly Series[], option: string): Series[][] {
  const groups = new Map<string, Series[]>();
  for (const one of series) {
    if (one.isBaseline) continue;
    const { [option]: _, label: _label, ...rest } = one.variant;
    const key = JSON.stringify([rest, one.modelId, one.engine]);
    groups.set(key, [...groups.get(key) ?? [], one]);
  }
  return [...groups.values()];
}

/** An option's number: as the conversion resolved it, else as the variant has it. */
function resolvedNumber(one: Series, option: string): number | undefined {
  const value = one.conversion?.resolved[option] ?? one.variant[option];
  return typeof value === "number" && value > 0 ? value : undefined;
}

/** The words that all labels of a line share; its last label where none is shared. */
function lineName(line: readonly Series[], option: string): string {
  const [first, ...rest] = line.map((one) => one.label.split(" "));
  const shared = first!.filter((word) =>
    rest.every((words) => words.includes(word))
  );
  return shared.length === 0 ? `${line.at(-1)!.label} (${option})` : shared
    .join(" ");
}

function isOff(value: unknown): boolean {
  return value === false || value === "off" || value === "none";
}
