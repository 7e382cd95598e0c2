// The findings of `deno task bench decode` in a report, as tables: our whole decode
// steps beside PyTorch's on the same GPU, and both against what the bytes allow.

import { z } from "zod";
import { parseAs } from "../experiment/record_schema.ts";
import {
  formatNumber,
  formatPercent,
  formatRate,
  formatRatio,
} from "./format.ts";
import { numberCell, right, type Table, type TableCell } from "./table.ts";

export const SIDES = ["dawn", "deno", "torch"] as const;

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
    readonly mla?: {
      readonly kvLoraRank: number;
      readonly qkRopeHeadDim: number;
    };
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
  /** MLA's tokens a second over the original's, by side. */
  readonly mlaRatios?: readonly {
    readonly context: number;
    /** One sequence each, or as many as a card of 24 GiB holds. */
    readonly load: "one" | "budget";
    readonly batches: readonly [original: number, mla: number];
    readonly ratios: Readonly<Partial<Record<(typeof SIDES)[number], number>>>;
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
    mla: z.looseObject({
      kvLoraRank: z.int().positive(),
      qkRopeHeadDim: z.int().nonnegative(),
    }).optional(),
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
  mlaRatios: z.array(z.looseObject({
    context: z.int().positive(),
    load: z.enum(["one", "budget"]),
    batches: z.tuple([z.int().positive(), z.int().positive()]),
    ratios: z.looseObject({
      dawn: share.optional(),
      deno: share.optional(),
      torch: share.optional(),
    }),
  })).optional(),
});

/** One case and what each side needed for it. */
export type PeerRow = DecodePeers["rows"][number];

export type Kind = PeerRow["case"]["kind"];

/**
 * Checks the content of peers.json.
 *
 * @throws {InputError} If a field is missing or wrong; the message is one line.
 */
export function parseDecodePeers(value: unknown, where: string): DecodePeers {
  return parseAs(schema, value, where) as unknown as DecodePeers;
}

/** Where the limit, a provider and torch stand in the legend, and how they look. */
export const LOOKS = {
  dawn: { color: "c0", symbol: "circle", name: "dawn" },
  deno: { color: "c2", symbol: "diamond", name: "deno" },
  torch: { color: "c1", symbol: "square", name: "torch" },
} as const;

export const KINDS: Readonly<Record<Kind, { name: string; dash: string }>> = {
  original: { name: "original", dash: "dash" },
  mla: { name: "MLA", dash: "solid" },
};

/** What the columns of peersTable() are. */
export const PEERS_MEANING =
  "To torch: tokens/s over torch’s. Of the limit: tokens/s over what weights and cache of a step allow at the bandwidth of a copy.";

/** Under which conditions the findings were made. */
export function peerProtocol(peers: DecodePeers): string {
  const { settings, gpu, copyBytesPerSecond } = peers;
  const { mla } = settings;
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
    mla === undefined
      ? ""
      : `MLA: a latent of ${formatNumber(mla.kvLoraRank)} and ${
        formatNumber(mla.qkRopeHeadDim)
      } dimensions with RoPE.`,
    gpu === undefined
      ? ""
      : `One ${gpu.name}, driver ${gpu.driver}, all sides in one run.`,
    copyBytesPerSecond === undefined
      ? ""
      : `A copy moves ${
        formatNumber(copyBytesPerSecond / 1e9)
      } GB/s, reads and writes together.`,
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
  const groupOf = (side: keyof typeof LOOKS) => ({ group: LOOKS[side].name });
  return {
    columns: [
      { head: "Shape", name: "shape", align: "left" },
      right("context", "contextTokens"),
      right("batch", "batchSize"),
      ...sides.flatMap((side) => [
        right("tokens/s", `${side}TokensPerSecond`, groupOf(side)),
        ...side === "torch" || !hasTorch
          ? []
          : [right("to torch", `${side}RatioToTorch`, groupOf(side))],
        right("of the limit", `${side}Fraction`, groupOf(side)),
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

/** MLA's tokens a second over the original's on each side. */
export function peerRatiosTable(peers: DecodePeers | undefined): Table {
  const rows = peers?.mlaRatios ?? [];
  const sides = SIDES.filter((side) =>
    rows.some(({ ratios }) => ratios[side] !== undefined)
  );
  return {
    columns: [
      { head: "sequences", name: "load", align: "left" },
      right("context", "contextTokens"),
      right("batch, original", "batchSizeOriginal"),
      right("batch, MLA", "batchSizeMla"),
      ...sides.map((side) => right(LOOKS[side].name, `${side}Ratio`)),
    ],
    rows: rows.map(({ load, context, batches: [original, mla], ratios }) => ({
      cells: [
        { text: load === "one" ? "one" : "24 GiB full" },
        numberCell(context, formatNumber),
        numberCell(original, formatNumber),
        numberCell(mla, formatNumber),
        ...sides.map((side) => numberCell(ratios[side], formatRatio)),
      ],
    })),
  };
}

/** The largest of these ratios by load and side, in a sentence; "" where there are none. */
export function peerRatiosMeaning(peers: DecodePeers | undefined): string {
  const rows = peers?.mlaRatios ?? [];
  const parts = ([["budget", "24 GiB full"], ["one", "one sequence"]] as const)
    .flatMap(([load, name]) => {
      const largest = SIDES.flatMap((side) => {
        const all = rows.flatMap((row) =>
          row.load === load ? row.ratios[side] ?? [] : []
        );
        return all.length === 0
          ? []
          : [`${formatRatio(Math.max(...all))} (${LOOKS[side].name})`];
      });
      return largest.length === 0
        ? []
        : [`with ${name} at up to ${largest.join(", ")}`];
    });
  return parts.length === 0
    ? ""
    : `MLA decodes ${parts.join("; ")} the original’s tokens a second.`;
}

/** "dawn at 0.48× to 1.04×, deno at 0.09× to 0.99× torch’s tokens a second"; "" without torch. */
export function torchRange({ rows }: DecodePeers): string {
  const parts = SIDES.flatMap((side) => {
    if (side === "torch") return [];
    const ratios = rows.flatMap(({ speeds }) => speeds[side]?.ratio ?? []);
    if (ratios.length === 0) return [];
    const [low, high] = [
      formatRatio(Math.min(...ratios)),
      formatRatio(Math.max(...ratios)),
    ];
    return [
      `${LOOKS[side].name} at ${low === high ? low : `${low} to ${high}`}`,
    ];
  });
  return parts.length === 0
    ? ""
    : `${parts.join(", ")} torch’s tokens a second`;
}
