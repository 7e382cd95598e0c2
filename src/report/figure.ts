// What a figure is: plain data that figure_runtime.js draws with plotly, in the
// page and for SVG export alike. Colors are role names of palette.ts.

import type { Series } from "./series.ts";
import type { Table } from "./table.ts";

/** A figure without its drawing. */
export interface Figure {
  /** As in an experiment file: "perplexity-by-cache". */
  readonly id: string;
  readonly title: string;
  /** What the reader sees and under which protocol it was measured; plain text. */
  readonly caption: string;
  /** Pixels at desktop width. */
  readonly height: number;
  /** Plotly traces; every `color` is a role. */
  readonly data: readonly Trace[];
  /** Plotly's layout but for fonts, margins and colors. */
  readonly layout: Readonly<Record<string, unknown>>;
  readonly labels: readonly Label[];
  /** The series drawn, for the key below a narrow figure. */
  readonly key: readonly Series[];
  /** Set where axes and labels name all that is drawn with fewer labels than series. */
  readonly isNamed?: true;
  /** Set where labels do not say what the key does. */
  readonly needsKey?: true;
  /** The numbers of the figure, where no table of the report has them. */
  readonly table?: Table;
}

/** A plotly trace. */
export type Trace = Readonly<Record<string, unknown>>;

/**
 * A name written beside what it names. "end" labels stand right of the plot at
 * the height of a line's end, spread so that none overlap; "point" labels stand
 * beside a marker where there is room, and are left out where there is none.
 */
export interface Label {
  readonly kind: "end" | "point";
  /** In data units. */
  readonly x: number;
  readonly y: number;
  /** Escaped for plotly. */
  readonly text: string;
  /** The run that it belongs to, where several are compared. */
  readonly meta?: string;
  readonly color: string;
}

/** An axis of numbers. */
export interface AxisOptions {
  readonly title: string;
  readonly values: readonly number[];
  readonly isLog?: boolean;
  /** Show exactly these ticks. */
  readonly ticks?: readonly number[];
  /** d3 format of ticks; thousands separators by default. */
  readonly format?: string;
  readonly suffix?: string;
  /** Include zero on a linear axis. */
  readonly fromZero?: boolean;
}

/** Powers of ten of a logarithmic axis: beyond, a bound would be zero or infinite. */
const MOST_DECADES = 307;

/**
 * Makes a plotly axis with a fixed range, since the runtime places labels by it.
 *
 * @param options Title, values to cover, scale and ticks.
 * @returns The axis; a logarithmic one has log10 in its range, as plotly wants it.
 */
export function axis(options: AxisOptions): Record<string, unknown> {
  const finite = options.values.filter(Number.isFinite);
  const isLog = options.isLog === true;
  const scaled = isLog ? finite.map(Math.log10) : finite;
  let low = Math.min(...scaled);
  let high = Math.max(...scaled);
  if (options.fromZero === true && !isLog) low = Math.min(0, low);
  const span = high - low ||
    (isLog ? 0.3 : Math.max(Math.abs(high) * 0.2, 1e-6));
  low = options.fromZero === true && !isLog && low === 0
    ? 0
    : low - span * 0.07;
  high += span * 0.07;
  if (isLog) {
    [low, high] = [Math.max(low, -MOST_DECADES), Math.min(high, MOST_DECADES)];
  }
  const ticks = options.ticks ?? (isLog ? logTicks(10 ** low, 10 ** high) : []);
  return {
    title: { text: options.title },
    type: isLog ? "log" : "linear",
    range: [low, high],
    ...(ticks.length > 0
      ? {
        tickmode: "array",
        tickvals: ticks,
        ticktext: ticks.map((tick) =>
          tick.toLocaleString("en-US", { maximumSignificantDigits: 6 }) +
          (options.suffix ?? "")
        ),
      }
      : { nticks: 7, ticksuffix: options.suffix ?? "" }),
    tickformat: options.format ?? ",~g",
    hoverformat: ",.4~g",
  };
}

/**
 * Whether numbers span so much that a logarithmic axis shows them better.
 *
 * @param values Positive numbers.
 * @param factor Largest over smallest from which on it does.
 */
export function spansDecades(values: readonly number[], factor = 3): boolean {
  const low = Math.min(...values);
  return low > 0 && Math.max(...values) / low >= factor;
}

/** Round numbers between two bounds, about five to twelve of them, evenly enough on a log scale. */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const steps = decades > 8
    ? [1]
    : decades > 4.5
    ? [1, 3]
    : decades > 1.6
    ? [1, 2, 5]
    : decades > 0.9
    ? [1, 2, 3, 5, 7]
    : decades > 0.45
    ? [1, 1.5, 2, 3, 4, 5, 7]
    : decades > 0.2
    ? [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9]
    : Array.from({ length: 90 }, (_, i) => 1 + i / 10);
  const ticks: number[] = [];
  const last = Math.ceil(Math.log10(high));
  for (let e = Math.floor(Math.log10(low)); e <= last; e++) {
    const every = decades > 8 ? Math.ceil(decades / 6) : 1;
    if (e % every !== 0) continue;
    for (const step of steps) {
      const tick = Number((step * 10 ** e).toPrecision(6));
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks;
}

/** Ties a trace or label to the run that it is of, where several are compared. */
export function runOf({ runName }: Series): { readonly meta?: string } {
  return runName === undefined ? {} : { meta: runName };
}

/** Escapes text for plotly, which reads a little HTML in labels. */
export function plotText(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(
    />/g,
    "&gt;",
  );
}

/** The marker of a series. */
export function markerOf(one: Series, size = 9): Record<string, unknown> {
  const { color, symbol } = one.style;
  return {
    color,
    symbol,
    size: symbol === "star" ? size + 3 : size,
    line: { color: "page", width: 1 },
  };
}

/** Markers as characters, so that a label shows its line's. */
export const GLYPHS: Readonly<Record<string, string>> = {
  circle: "●",
  square: "■",
  diamond: "◆",
  "triangle-up": "▲",
  cross: "✚",
  x: "✖",
  star: "★",
};
