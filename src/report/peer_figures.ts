// The findings of `deno task bench decode` as figures: tokens a second by context
// of every side, one sequence and batches.

import {
  type DecodePeers,
  type Kind,
  KINDS,
  LOOKS,
  peerProtocol,
  type PeerRow,
  SIDES,
} from "./decode_peers.ts";
import { axis, type Figure, GLYPHS, type Label, type Trace } from "./figure.ts";
import type { Series } from "./series.ts";

/** Two loads that have a figure each. */
const LOADS = [
  { id: "peers-one-sequence", isOne: true },
  { id: "peers-24gib", isOne: false },
] as const;

function loadTitle(peers: DecodePeers, isOne: boolean): string {
  if (isOne) return "one sequence";
  return peers.mlaRatios?.some(({ load }) => load === "budget")
    ? "as many sequences as 24 GiB hold"
    : "the largest batch at each context";
}

/** What the lines of the figures are. */
export const LINES_MEANING =
  "Solid: MLA; dashed: the original; dotted: what weights and cache of a step allow at the bandwidth of a copy.";

/** Tokens a second by context of every side, with the limit: a figure a load. */
export function peerFigures(peers: DecodePeers): Figure[] {
  return LOADS.flatMap(({ id, isOne }) => {
    const rows = largest(
      peers.rows.filter((row) =>
        isOne ? row.case.batch === 1 : isBatch(row, peers.rows)
      ),
    );
    const lines = (["mla", "original"] as const).flatMap((kind) =>
      linesOf(rows.filter((row) => row.case.kind === kind), kind)
    );
    if (lines.every(({ points }) => points.length < 2)) return [];
    const ys = lines.flatMap(({ points }) => points.map(({ y }) => y));
    const contexts = [...new Set(rows.map((row) => row.case.context))]
      .toSorted((a, b) => a - b);
    return [{
      id,
      title: `Decoding speed, ${loadTitle(peers, isOne)}`,
      caption: `${peerProtocol(peers)} ${LINES_MEANING}`,
      height: 460,
      data: lines.map(traceOf),
      layout: {
        xaxis: axis({
          title: "context, tokens",
          values: contexts,
          isLog: true,
          ticks: contexts,
        }),
        yaxis: axis({
          title: "decoded tokens a second",
          values: ys,
          isLog: !isOne,
          fromZero: true,
        }),
      },
      labels: lines.flatMap(labelOf),
      key: [] as Series[],
      isNamed: true as const,
    }];
  });
}

/**
 * Whether a case is of a batch: of several sequences, or of one that moves no
 * more bytes a step than these and so is all that their memory holds.
 */
function isBatch(row: PeerRow, rows: readonly PeerRow[]): boolean {
  if (row.case.batch > 1) return true;
  const batches = rows.filter(({ case: { kind, batch } }) =>
    kind === row.case.kind && batch > 1
  );
  const seconds = batches.flatMap(({ limitSeconds }) => limitSeconds ?? []);
  return row.limitSeconds !== undefined &&
    batches.every(({ case: { context } }) => context < row.case.context) &&
    seconds.some((limit) => row.limitSeconds! <= limit);
}

/** A line has one point at a context. */
function largest(rows: readonly PeerRow[]): PeerRow[] {
  return rows.filter(({ case: own }, i) =>
    rows.every(({ case: other }, j) =>
      other.kind !== own.kind || other.context !== own.context ||
      other.batch < own.batch || other.batch === own.batch && j >= i
    )
  );
}

interface Line {
  readonly name: string;
  readonly color: string;
  readonly symbol?: string;
  readonly dash: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

function linesOf(rows: readonly PeerRow[], kind: Kind): Line[] {
  const ordered = rows.toSorted((a, b) => a.case.context - b.case.context);
  const limit = {
    name: `limit, ${KINDS[kind].name}`,
    color: "muted",
    dash: "dot",
    points: ordered.flatMap(({ case: { batch, context }, limitSeconds }) =>
      limitSeconds === undefined
        ? []
        : [{ x: context, y: batch / limitSeconds }]
    ),
  };
  return [
    limit,
    ...SIDES.map((side) => ({
      name: `${LOOKS[side].name}, ${KINDS[kind].name}`,
      color: LOOKS[side].color,
      symbol: LOOKS[side].symbol,
      dash: KINDS[kind].dash,
      points: ordered.flatMap(({ case: { context }, speeds }) => {
        const found = speeds[side];
        return found === undefined
          ? []
          : [{ x: context, y: found.tokensPerSecond }];
      }),
    })),
  ].filter(({ points }) => points.length > 0);
}

function traceOf({ name, color, symbol, dash, points }: Line): Trace {
  return {
    type: "scatter",
    mode: symbol === undefined ? "lines" : "lines+markers",
    name,
    x: points.map(({ x }) => x),
    y: points.map(({ y }) => y),
    line: { color, width: symbol === undefined ? 1.25 : 1.75, dash },
    ...(symbol === undefined ? {} : {
      marker: { color, symbol, size: 8, line: { color: "page", width: 1 } },
    }),
    hovertemplate: `${name}<br>%{x:,}: %{y:,.4~g} tokens/s<extra></extra>`,
  };
}

function labelOf({ name, color, symbol, points }: Line): Label[] {
  const last = points.at(-1);
  return last === undefined ? [] : [{
    kind: "end",
    ...last,
    text: `${symbol === undefined ? "" : GLYPHS[symbol] ?? ""} ${name}`.trim(),
    color,
  }];
}
