// What the two sides say while they work: one JSON object a line.

import { z } from "zod";

const seconds = z.number().positive();

const CASE = z.object({
  kind: z.enum(["original", "mla"]),
  batch: z.int().positive(),
  context: z.int().positive(),
});

const TIMED_FORM = z.object({
  form: z.string(),
  /** Of its attention against float64. */
  relativeError: z.number().nonnegative(),
  /** What was chosen of the form's own variants. */
  tuned: z.string().optional(),
  residual: z.string(),
  /** Median of the steps. */
  seconds,
  fastestSeconds: seconds,
  steps: z.int().positive(),
});

const FORM = z.union([
  TIMED_FORM,
  z.object({ form: z.string(), error: z.string() }),
]);

const KERNEL = z.object({
  name: z.string(),
  dispatches: z.int().positive(),
  seconds: z.number().nonnegative(),
  bytes: z.number().nonnegative(),
  flops: z.number().nonnegative(),
});

/** A layer's linear layer. */
const PRODUCT = z.object({ seconds, flops: z.number().nonnegative() });

const GREEDY = z.object({
  kind: CASE.shape.kind,
  dtype: z.enum(["f16", "f32"]),
  batch: z.int().positive(),
  steps: z.int().positive(),
  /** Steps until the first token that differs, the least of all sequences; all where none does. */
  equalSteps: z.int().nonnegative(),
  /** Where one differs: by how much the reference's logit of its own token is larger, the largest over sequences, in standard deviations of the logits. */
  gap: z.number().nonnegative().optional(),
  holds: z.boolean(),
});

const SCORE = z.object({
  /** Windows of a call. */
  batch: z.int().positive(),
  tokensPerSecond: z.number().positive(),
  perplexity: z.number().positive(),
});

/** Something that a side says. */
export const EVENT = z.discriminatedUnion("event", [
  z.object({
    event: z.literal("machine"),
    /** Versions, and what computes. */
    facts: z.record(z.string(), z.union([z.string(), z.null()])),
  }),
  z.object({ event: z.literal("copy"), bytesPerSecond: z.number().positive() }),
  z.object({
    event: z.literal("product"),
    size: z.int().positive(),
    flopsPerSecond: z.number().positive(),
  }),
  z.object({
    event: z.literal("opened"),
    kind: CASE.shape.kind,
    seconds,
  }),
  z.object({ event: z.literal("check"), ...GREEDY.shape }),
  z.object({
    event: z.literal("checkFailed"),
    kind: CASE.shape.kind,
    dtype: z.string(),
    error: z.string(),
  }),
  z.object({ event: z.literal("begin"), case: CASE }),
  z.object({
    event: z.literal("peerCase"),
    case: CASE,
    weightBytes: z.int().positive(),
    forms: z.array(FORM),
  }),
  z.object({
    event: z.literal("ourCase"),
    case: CASE,
    /** Median over the repetitions of their mean step. */
    seconds,
    repetitionSeconds: z.array(seconds),
    steps: z.int().positive(),
    /** Tokens in the cache at the first and after the last timed step. */
    firstContext: z.int().positive(),
    lastContext: z.int().positive(),
    cacheBytes: z.number().positive(),
    fillSeconds: seconds,
    kernels: z.array(KERNEL).optional(),
    profileError: z.string().optional(),
  }),
  z.object({ event: z.literal("failed"), case: CASE, error: z.string() }),
  z.object({
    event: z.literal("prefill"),
    tokens: z.int().positive(),
    /** By name, a layer each. */
    products: z.record(z.string(), PRODUCT),
    /** All kernels of the pass, where they are timed too. */
    kernels: z.array(KERNEL).optional(),
  }),
  z.object({
    event: z.literal("score"),
    windows: z.int().positive(),
    windowTokens: z.int().positive(),
    batches: z.array(SCORE),
    versions: z.record(z.string(), z.string()).optional(),
  }),
  z.object({
    event: z.literal("workFailed"),
    work: z.enum(["prefill", "score"]),
    error: z.string(),
  }),
]);

export type DecodeEvent = z.infer<typeof EVENT>;
export type PeerCase = Extract<DecodeEvent, { event: "peerCase" }>;
export type OurCase = Extract<DecodeEvent, { event: "ourCase" }>;
export type PeerForm = z.infer<typeof TIMED_FORM>;
export type GreedyCheck = z.infer<typeof GREEDY>;
export type PrefillEvent = Extract<DecodeEvent, { event: "prefill" }>;
export type ScoreEvent = Extract<DecodeEvent, { event: "score" }>;

/** The fastest form of a case that was timed, if any was. */
export function fastestForm({ forms }: PeerCase): PeerForm | undefined {
  return forms.filter((form) => "seconds" in form)
    .toSorted((a, b) => a.seconds - b.seconds)[0];
}
