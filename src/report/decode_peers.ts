// The findings of `deno task bench decode` in a report: our whole decode steps
// beside PyTorch's on the same GPU, and both against what the bytes allow.

import { z } from "zod";
import { parseAs } from "../experiment/record_schema.ts";
import { axis, type Figure, GLYPHS, type Label, type Trace } from "./figure.ts";
import {
  formatNumber,
  formatPercent,
  formatRate,
  formatRatio,
} from "./format.ts";
import type { Series } from "./series.ts";
import {
  type Column,
  numberCell,
  type Table,
  type TableCell,
} from "./table.ts";

const SIDES = ["dawn", "deno", "torch"] as const;

/** A side's whole decode step. */
interface PeerSpeed {
  readonly seconds: number;
  readonly tokensPerSecond: number;
  /** Of what the bytes alone allow. */
  readonly fraction?: number | null;
  /** torch's seconds over these. */
  readonly ratio?: number;
  /** torch: its form of attention. */
  readonly form?: string;
}

/** What a report needs of the findings; the rest is kept as it is. */
export interface DecodePeers {
  readonly date: string;
  readonly commit?: string;
  readonly settings: {
    readonly model: string;
    /** Of our weights and cache. */
    readonly dtype?: string;
    /** torch's. */
    readonly peerDevice?: string;
  };
  readonly gpu?: { readonly name: string; readonly driver: string };
  readonly copyBytesPerSecond?: number;
  readonly rows: readonly {
    readonly case: {
      readonly kind: "original" | "mla";
      readonly batch: number;
      readonly context: number;
    };
    readonly limitSeconds?: number;
    readonly speeds: {
      readonly dawn?: PeerSpeed;
      readonly deno?: PeerSpeed;
      readonly torch?: PeerSpeed;
    };
    readonly errors: Readonly<Record<string, string>>;
  }[];
}

/** Shown in terminals, where control characters are commands. */
const plain = z.string().regex(/^\P{Cc}*$/u, "has a control character");

const share = z.number().nonnegative();

const speed = z.looseObject({
  seconds: z.number().positive(),
  tokensPerSecond: z.number().positive(),
  fraction: share.nullable().optional(),
  ratio: share.optional(),
  form: plain.optional(),
});

const schema = z.looseObject({
  date: plain,
  commit: plain.optional(),
  settings: z.looseObject({
    model: plain,
    dtype: plain.optional(),
    peerDevice: plain.optional(),
  }),
  gpu: z.looseObject({ name: plain, driver: plain }).optional(),
  copyBytesPerSecond: z.number().positive().optional(),
  rows: z.array(z.looseObject({
    case: z.looseObject({
      kind: z.enum(["original", "mla"]),
      batch: z.int().positive(),
      context: z.int().positive(),
    }),
    limitSeconds: z.number().positive().optional(),
    speeds: z.looseObject({
      dawn: speed.optional(),
      deno: speed.optional(),
      torch: speed.optional(),
    }),
    errors: z.record(z.string(), z.string()),
  })),
});

type PeerRow = DecodePeers["rows"][number];
type Kind = PeerRow["case"]["kind"];

/**
 * Checks the content of peers.json.
 *
 * @throws {InputError} If a field is missing or wrong; the message is one line.
 */
export function parseDecodePeers(value: unknown, where: string): DecodePeers {
  return parseAs(schema, value, where) as unknown as DecodePeers;
}

/** Two loads that have a figure each. */
const LOADS = [
  { id: "peers-one-sequence", title: "one sequence", isOne: true },
  {
    id: "peers-24gib",
    title: "the largest batch at each context",
    isOne: false,
  },
] as const;

/** Where the limit, a provider and torch stand in the legend, and how they look. */
const LOOKS = {
  dawn: { color: "c0", symbol: "circle", name: "dawn" },
  deno: { color: "c2", symbol: "diamond", name: "deno" },
  torch: { color: "c1", symbol: "square", name: "torch" },
} as const;

const KINDS: Readonly<Record<Kind, { name: string; dash: string }>> = {
  original: { name: "original", dash: "dash" },
  mla: { name: "MLA", dash: "solid" },
};

/** Tokens a second by context of every side, with the limit: a figure a load. */
export function peerFigures(peers: DecodePeers): Figure[] {
  return LOADS.flatMap(({ id, title, isOne }) => {
    const rows = largest(
      peers.rows.filter((row) => (row.case.batch === 1) === isOne),
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
      title: `Decoding speed, ${title}`,
      caption: `${peerProtocol(peers)} Solid: MLA; dashed: the original; ` +
        "dotted: what the bytes of a step allow at the copy bandwidth of the same run.",
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

/** Under which conditions the findings were made. */
export function peerProtocol(peers: DecodePeers): string {
  const { settings, gpu, copyBytesPerSecond } = peers;
  const torch = settings.peerDevice === "cpu"
    ? "f32, eager kernels on the CPU"
    : "f16, eager kernels in one CUDA graph";
  return [
    `Whole decode steps of ${settings.model}, ${
      settings.dtype ?? "f16"
    }, greedy token included${
      sidesOf(peers).includes("torch")
        ? `; torch: ${torch}, its fastest form of attention`
        : ""
    }.`,
    gpu === undefined
      ? ""
      : `One ${gpu.name}, driver ${gpu.driver}, all sides in one run.`,
    copyBytesPerSecond === undefined
      ? ""
      : `Copy: ${formatNumber(copyBytesPerSecond / 1e9)} GB/s.`,
  ].filter((part) => part !== "").join(" ");
}

/** Sides that were asked for a case, whether or not it went well. */
function sidesOf({ rows }: Pick<DecodePeers, "rows">) {
  return SIDES.filter((side) =>
    rows.some(({ speeds, errors }) =>
      speeds[side] !== undefined || Object.hasOwn(errors, side)
    )
  );
}

/** Every case: each side's speed, its ratio to torch and its share of the limit. */
export function peersTable(peers: DecodePeers | undefined): Table {
  const rows = peers?.rows ?? [];
  const sides = sidesOf({ rows });
  const hasTorch = sides.includes("torch");
  const right = (head: string, name: string, group?: string): Column => ({
    ...(group === undefined ? {} : { group }),
    head,
    name,
    align: "right",
  });
  return {
    columns: [
      { head: "Shape", name: "shape", align: "left" },
      right("context", "contextTokens"),
      right("batch", "batchSize"),
      ...sides.flatMap((side) => [
        right("tokens/s", `${side}TokensPerSecond`, LOOKS[side].name),
        ...side === "torch" || !hasTorch
          ? []
          : [right("to torch", `${side}RatioToTorch`, LOOKS[side].name)],
        right("of the limit", `${side}Fraction`, LOOKS[side].name),
      ]),
    ],
    rows: rows.map((row) => ({
      cells: [
        { text: KINDS[row.case.kind].name },
        numberCell(row.case.context, formatNumber),
        numberCell(row.case.batch, formatNumber),
        ...sides.flatMap((side): TableCell[] => {
          const found = row.speeds[side];
          const failed = found === undefined &&
            Object.hasOwn(row.errors, side);
          return [
            failed
              ? { text: "failed", value: null }
              : numberCell(found?.tokensPerSecond, formatRate),
            ...side === "torch" || !hasTorch
              ? []
              : [numberCell(found?.ratio, formatRatio)],
            numberCell(
              found?.fraction ?? undefined,
              (value) => value === undefined ? "–" : formatPercent(value, 0),
            ),
          ];
        }),
      ],
    })),
  };
}
