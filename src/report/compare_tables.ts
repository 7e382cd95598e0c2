// A comparison as tables, a measure each.

import type { Measure } from "../experiment/record.ts";
import type { CellPair, Comparison, Difference } from "./compare.ts";
import { cellLabel } from "./compare_pairs.ts";
import {
  formatDelta,
  formatNumber,
  formatPercent,
  formatRate,
  formatRatio,
  formatSeconds,
  formatSignificant,
} from "./format.ts";
import type { Column, Row, Table, TableCell } from "./table.ts";

/** A table with its heading. */
export interface ComparisonSection {
  readonly title: string;
  readonly table: Table;
}

/** How a metric is shown: its columns' heading and numbers. */
interface Shown {
  readonly metric: string;
  readonly head: string;
  readonly format: (value: number) => string;
  /** The third column. */
  readonly change: {
    readonly head: string;
    readonly text: (difference: Difference) => string;
  };
}

const RATIO = {
  head: "B / A",
  text: ({ ratio }: Difference) => formatRatio(ratio),
};

const CHANGE = {
  head: "change",
  text: ({ ratio }: Difference) =>
    ratio === undefined ? "–" : signedPercent(ratio - 1),
};

const MEASURES: readonly {
  readonly measure: Measure;
  readonly title: string;
  readonly shown: readonly Shown[];
  /** Heading of the paired difference. */
  readonly paired?: string;
}[] = [
  {
    measure: "perplexity",
    title: "Perplexity",
    shown: [{
      metric: "perplexity.value",
      head: "perplexity",
      // Runs are compared to see what a headline would round away.
      format: (value) => formatNumber(value, value < 1000 ? 4 : 2),
      change: CHANGE,
    }],
    paired: "ΔNLL [95 % CI], nats",
  },
  {
    measure: "divergence",
    title: "Divergence from the original",
    shown: [
      {
        metric: "divergence.klNats",
        head: "KL, nats",
        format: (value) => formatSignificant(value),
        change: CHANGE,
      },
      {
        metric: "divergence.top1Agreement",
        head: "top-1 agreement",
        format: (value) => formatPercent(value, 2),
        change: {
          head: "difference",
          text: ({ difference }) => signedPercent(difference),
        },
      },
    ],
    paired: "ΔKL [95 % CI], nats",
  },
  {
    measure: "cache",
    title: "Cache",
    shown: [
      {
        metric: "cache.elementsPerTokenPerLayer",
        head: "numbers/token/layer",
        format: (value) => formatNumber(value, Number.isInteger(value) ? 0 : 2),
        change: CHANGE,
      },
      {
        metric: "cache.bytesPerToken",
        head: "bytes/token",
        format: (value) => formatNumber(value),
        change: CHANGE,
      },
    ],
  },
  {
    measure: "throughput",
    title: "Throughput",
    shown: [
      {
        metric: "throughput.decodeTokensPerSecond",
        head: "decode, tokens/s",
        format: formatRate,
        change: RATIO,
      },
      {
        metric: "throughput.prefillTokensPerSecond",
        head: "prefill, tokens/s",
        format: formatRate,
        change: RATIO,
      },
      {
        metric: "throughput.outputTokensPerSecond",
        head: "output, tokens/s",
        format: formatRate,
        change: RATIO,
      },
    ],
  },
  {
    measure: "conversion",
    title: "Conversion",
    shown: [
      {
        metric: "conversion.wallSeconds",
        head: "conversion",
        format: formatSeconds,
        change: RATIO,
      },
      {
        metric: "conversion.keptEnergy",
        head: "energy kept",
        format: (value) => formatPercent(value, 2),
        change: {
          head: "difference",
          text: ({ difference }) => signedPercent(difference),
        },
      },
    ],
  },
];

/**
 * The tables of a comparison: pairs by measure, then what differs and what is
 * alone.
 *
 * @param comparison Of two runs.
 * @returns Only tables that have rows.
 */
export function comparisonSections(
  comparison: Comparison,
): ComparisonSection[] {
  const sections = MEASURES.map(({ measure, title, shown, paired }) => ({
    title,
    table: pairTable(
      comparison.pairs.filter((pair) => pair.measure === measure),
      shown,
      paired,
    ),
  }));
  const text = (...texts: string[]): Row => ({
    cells: texts.map((text) => ({ text })),
  });
  const alone = [
    ...comparison.onlyA.map((cell) => ["A", cell] as const),
    ...comparison.onlyB.map((cell) => ["B", cell] as const),
  ];
  return [
    ...sections,
    {
      title: "Cells of one run only",
      table: {
        columns: [
          left("Run"),
          left("Variant"),
          left("Measure"),
          right("context"),
          left("Status"),
        ],
        rows: alone.map(([run, cell]) =>
          text(
            run,
            cellLabel(cell),
            cell.measure,
            contextText(cell.contextTokens),
            cell.status,
          )
        ),
      },
    },
    {
      title: "Made with",
      table: {
        columns: [left("Field"), left("A"), left("B")],
        rows: comparison.provenance.map(({ field, a, b }) => text(field, a, b)),
      },
    },
  ].filter(({ table }) => table.rows.length > 0);
}

/**
 * Says which pairs are not like for like, a line each reason.
 *
 * @param comparison Of two runs.
 */
export function unlikeLines({ pairs }: Comparison): string[] {
  const groups = Map.groupBy(
    pairs.flatMap((pair) =>
      pair.unlike.map((reason) => ({ reason, measure: pair.measure }))
    ),
    ({ measure, reason }) => `${measure}\n${reason}`,
  );
  return [...groups.values()].map((group) => {
    const { reason, measure } = group[0]!;
    const all = pairs.filter((pair) => pair.measure === measure).length;
    return `not like for like, ${group.length} of ${all} ${measure} ${
      all === 1 ? "pair" : "pairs"
    }: ${reason}`;
  });
}

function pairTable(
  pairs: readonly CellPair[],
  shown: readonly Shown[],
  paired: string | undefined,
): Table {
  const present = shown.filter(({ metric }) =>
    pairs.some(({ differences }) => differences.some(is(metric)))
  );
  const columns = present.length > 0 ? present : shown.slice(0, 1);
  return {
    columns: [
      left("Variant"),
      ...pairs.some(({ contextTokens }) => contextTokens !== undefined)
        ? [right("context")]
        : [],
      ...columns.flatMap(({ head, change }): Column[] => [
        { group: head, head: "A", align: "right" },
        { group: head, head: "B", align: "right" },
        { group: head, head: change.head, align: "right" },
      ]),
      ...paired === undefined ? [] : [right(paired)],
      left("Like for like"),
    ],
    rows: pairs.map((pair): Row => ({
      cells: [
        { text: cellLabel(pair) },
        ...pairs.some(({ contextTokens }) => contextTokens !== undefined)
          ? [{ text: contextText(pair.contextTokens) }]
          : [],
        ...columns.flatMap((one) => figureCells(pair, one)),
        ...paired === undefined ? [] : [{ text: pairedText(pair) }],
        {
          text: pair.unlike.length === 0
            ? "yes"
            : `no: ${
              pair.unlike.map((reason) => reason.split(":")[0]).join(", ")
            }`,
        },
      ],
    })),
  };
}

function figureCells(pair: CellPair, { metric, format, change }: Shown) {
  const found = pair.differences.find(is(metric));
  if (found !== undefined) {
    return [format(found.a), format(found.b), change.text(found)].map((
      text,
    ): TableCell => ({ text }));
  }
  const status = (value: string) => value === "ok" ? "–" : value;
  return [status(pair.statusA), status(pair.statusB), "–"].map((text) => ({
    text,
  }));
}

function is(metric: string) {
  return (difference: Difference) => difference.metric === metric;
}

function pairedText({ differences }: CellPair): string {
  const paired = differences.find(({ paired }) => paired !== undefined)?.paired;
  if (paired === undefined) return "–";
  const digits = Math.abs(paired.mean) < 0.001 ? 6 : 4;
  const mean = formatDelta(paired.mean, digits);
  return paired.ci95 === undefined
    ? mean
    : `${mean} [${
      paired.ci95.map((bound) => formatDelta(bound, digits)).join(", ")
    }]`;
}

function signedPercent(part: number): string {
  const sign = part > 0 ? "+" : "";
  return part !== 0 && Math.abs(part) < 0.0001
    ? `${sign}${formatSignificant(100 * part, 2)}\u00a0%`
    : `${sign}${formatPercent(part, 2)}`;
}

function contextText(contextTokens: number | undefined): string {
  return contextTokens === undefined ? "–" : formatNumber(contextTokens);
}

function left(head: string): Column {
  return { head, align: "left" };
}

function right(head: string): Column {
  return { head, align: "right" };
}
