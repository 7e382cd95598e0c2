// What the bench, its two sides and their reports have in common: the sixteen
// variants, the jobs that are handed over as JSON, and what comes back.

import { z } from "zod";
import { InputError } from "../../src/base/errors.ts";

/** Tokens of a calibration sequence, as the official procedure has them. */
export const CALIBRATION_TOKENS = 256;

/** Seed of the calibration's sample. */
export const CALIBRATION_SEED = 42;

/** Tokens of a scored window. */
export const WINDOW_TOKENS = 2048;

/** m of all variants. */
export const QK_ROPE_HEAD_DIM = 64;

/** One of the conversions that both sides make. */
export interface PeerVariant {
  readonly freqFold: number;
  readonly kvLoraRank: number;
  readonly balanceKv: boolean;
}

/**
 * Four FreqFolds x two ranks x BKV on and off. The first is the one whose
 * perplexity is compared; the first four have the four FreqFolds.
 */
export const VARIANTS: readonly PeerVariant[] = [128, 56].flatMap(
  (kvLoraRank) =>
    [true, false].flatMap((balanceKv) =>
      [2, 1, 4, 8].map((freqFold) => ({ freqFold, kvLoraRank, balanceKv }))
    ),
);

/** The variant whose perplexities are compared, after both of its stages. */
export const CHECKED: PeerVariant = VARIANTS[0]!;

/** What official.py is asked. */
export interface OfficialJob {
  readonly mode: "score" | "convert";
  /** A Hugging Face folder. */
  readonly model: string;
  readonly threads: number;
  readonly qkRopeHeadDim: number;
  /** Calibration sequences of equal length. */
  readonly ids: readonly (readonly number[])[];
  readonly windows: readonly (readonly number[])[];
  readonly variants: readonly PeerVariant[];
  /** Scored after its conversion, outside of what is timed. */
  readonly checked?: PeerVariant;
}

/** What ours.ts is asked. */
export interface OursJob {
  readonly mode: "export" | "score" | "convert" | "check";
  /** What openCheckpoint() takes. */
  readonly model: string;
  /** Name of the text family: its parts for calibration and for tests are taken. */
  readonly text: PeerText;
  readonly samples: number;
  readonly windows: number;
  readonly threads: number;
  readonly passes: 1 | 2;
  /** Where moments are kept. */
  readonly momentsFolder: string;
  /** Where "export" writes the model and the ids. */
  readonly folder: string;
}

/** Texts of both sides, with the names of their parts. */
export const TEXTS = {
  "wikitext-2": {
    calibration: "wikitext-2/validation",
    test: "wikitext-2/test",
  },
  brown: { calibration: "brown/calibration", test: "brown/test" },
} as const;

/** Name of a text that has both parts. */
export type PeerText = keyof typeof TEXTS;

const seconds = z.number().nonnegative();
const took = z.object({ seconds, cpuSeconds: seconds });
const scores = z.looseObject({
  windowNll: z.array(z.number()),
  windowSeconds: z.array(seconds),
});
const variant = z.looseObject({
  freqFold: z.int(),
  kvLoraRank: z.int(),
  balanceKv: z.boolean(),
});

const common = {
  peakRssBytes: z.int().positive(),
  /** Imports and weights, before any work. */
  open: took.extend({ peakRssBytes: z.int().positive() }),
  total: took,
  versions: z.looseObject({
    python: z.string(),
    torch: z.string(),
    transformers: z.string(),
    attention: z.string(),
    threads: z.int(),
  }),
};

const OFFICIAL_SCORE = z.looseObject({
  ...common,
  rates: z.looseObject({
    tokens: z.int().positive(),
    plainTokensPerSecond: z.number().positive(),
    hookedTokensPerSecond: z.number().positive(),
  }),
  scores: z.looseObject({ original: scores }),
});

const OFFICIAL_CONVERT = z.looseObject({
  ...common,
  variants: z.array(z.looseObject({
    variant,
    stages: z.object({
      calibrateOriginal: took,
      partialRope: took,
      calibratePartial: took,
      loraQkv: took,
    }),
  })),
  scores: z.looseObject({
    "partial-rope": scores.optional(),
    transmla: scores.optional(),
  }),
});

const OURS_EXPORT = z.looseObject({
  folder: z.string(),
  weightsSha256: z.string(),
  onnxruntime: z.string(),
  ids: z.array(z.array(z.int())),
  windows: z.array(z.array(z.int())),
});

const OURS_SCORE = z.looseObject({ scores });

const OURS_CONVERT = z.looseObject({
  variants: z.array(z.looseObject({
    variant,
    conversionSeconds: seconds,
    calibrationSeconds: seconds,
    calibrationRuns: z.int().nonnegative(),
  })),
});

const OURS_CHECK = z.looseObject({
  scores: z.record(z.string(), z.array(z.number())),
});

const RESULTS = {
  "official score": OFFICIAL_SCORE,
  "official convert": OFFICIAL_CONVERT,
  "ours export": OURS_EXPORT,
  "ours score": OURS_SCORE,
  "ours convert": OURS_CONVERT,
  "ours check": OURS_CHECK,
} as const;

/** Who says what: a side and what it was asked. */
export type ResultName = keyof typeof RESULTS;

/** What a side's process puts out. */
export type Result<Name extends ResultName> = z.infer<(typeof RESULTS)[Name]>;

/**
 * Reads what a process put out: JSON on its last line.
 *
 * @param name Who was asked what.
 * @param output Its standard output.
 * @returns The result, checked.
 * @throws {InputError} If it is not such a result.
 */
export function parseResult<Name extends ResultName>(
  name: Name,
  output: string,
): Result<Name> {
  const last = output.trimEnd().split("\n").at(-1) ?? "";
  let json: unknown;
  try {
    json = JSON.parse(last);
  } catch {
    throw new InputError(
      `Cannot use the output of ${name} as its last line must be JSON: current value is ${
        JSON.stringify(last.slice(0, 80))
      }`,
    );
  }
  const parsed = RESULTS[name].safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new InputError(
      `Cannot use the output of ${name}: ${
        issue.path.join(".")
      }: ${issue.message}`,
    );
  }
  return parsed.data as Result<Name>;
}
