// Greedy tokens of the webgpu engine beside those of the reference engine, on a
// small model whose heads and widths are those that are timed.

import { z } from "zod";
import type { Session } from "../../../src/engine/engine.ts";
import { openEngine } from "../../../src/engine/open.ts";
import type { DecoderModel } from "../../../src/model/decoder.ts";
import type { GreedyCheck } from "./events.ts";

/** What the checked model is, by default. */
export const CHECK_MODEL = "synthetic:decode-check";

/** One sequence takes other kernels than many. */
export const CHECK_BATCHES = [1, 9];

export const CHECK_STEPS = 32;

const PROMPT_TOKENS = 5;

/** A logit's lead, in standard deviations of all logits, below which f16 may take another token. */
const NEAR_TIE = 0.02;

const REFERENCE_RUN = z.object({
  prompts: z.array(z.array(z.int())),
  tokens: z.array(z.array(z.int())),
  logits: z.array(z.array(z.array(z.number()))),
});

/** What the reference engine decodes. */
export interface ReferenceRun {
  readonly prompts: readonly Int32Array[];
  /** [steps] of each sequence. */
  readonly tokens: readonly Int32Array[];
  /** Logits that each token was taken from, [V], by step and sequence. */
  readonly logits: readonly (readonly Float32Array[])[];
}

/**
 * Decodes with the reference engine.
 *
 * @param model A small one.
 * @param batch Sequences; each has its own prompt.
 * @param steps Tokens of each.
 */
export async function referenceRun(
  model: DecoderModel,
  batch: number,
  steps: number,
): Promise<ReferenceRun> {
  const { vocabSize } = model.config;
  const prompts = Array.from(
    { length: batch },
    (_, b) =>
      Int32Array.from(
        { length: PROMPT_TOKENS },
        (_, t) => (17 + 131 * t + 59 * b + 7 * t * b) % vocabSize,
      ),
  );
  const engine = await openEngine("reference");
  try {
    const session = await engine.open(model);
    await session.prefill(prompts, steps);
    const tokens = prompts.map(() => new Int32Array(steps));
    const logits: (readonly Float32Array[])[] = [];
    for (let step = 0; step < steps; step++) {
      logits.push(await session.lastLogits());
      const { tokens: next } = await session.decode(1);
      next.forEach((one, b) => tokens[b]![step] = one[0]!);
    }
    return { prompts, tokens, logits };
  } finally {
    await engine.close();
  }
}

/** A run as JSON. */
export function writtenRun({ prompts, tokens, logits }: ReferenceRun): string {
  return JSON.stringify({
    prompts: prompts.map((ids) => [...ids]),
    tokens: tokens.map((ids) => [...ids]),
    logits: logits.map((rows) => rows.map((row) => [...row])),
  });
}

/**
 * Reads what writtenRun() has written.
 *
 * @param text JSON.
 */
export function readRun(text: string): ReferenceRun {
  const { prompts, tokens, logits } = REFERENCE_RUN.parse(JSON.parse(text));
  return {
    prompts: prompts.map((ids) => Int32Array.from(ids)),
    tokens: tokens.map((ids) => Int32Array.from(ids)),
    logits: logits.map((rows) => rows.map((row) => Float32Array.from(row))),
  };
}

/**
 * Decodes the same prompts and compares.
 *
 * @param session Of the engine that is checked.
 * @param reference What is expected.
 * @param dtype Of its weights: in f32 all tokens must be equal, in f16 until a near-tie.
 */
export async function checkGreedy(
  session: Session,
  reference: ReferenceRun,
  dtype: "f16" | "f32",
): Promise<Omit<GreedyCheck, "kind">> {
  const steps = reference.logits.length;
  await session.prefill(reference.prompts, steps);
  const { tokens } = await session.decode(steps);
  return { dtype, ...compareTokens(reference, tokens, dtype) };
}

/**
 * Compares tokens of each sequence up to the first that differs.
 *
 * @param reference What is expected.
 * @param found Tokens of each sequence.
 * @param dtype In which they were computed.
 */
export function compareTokens(
  { tokens, logits }: Pick<ReferenceRun, "tokens" | "logits">,
  found: readonly Int32Array[],
  dtype: "f16" | "f32",
): Pick<GreedyCheck, "batch" | "steps" | "equalSteps" | "gap" | "holds"> {
  const steps = logits.length;
  let equalSteps = steps;
  let gap: number | undefined;
  for (const [b, expected] of tokens.entries()) {
    const first = expected.findIndex((token, i) => token !== found[b]?.[i]);
    if (first < 0) continue;
    equalSteps = Math.min(equalSteps, first);
    const row = logits[first]![b]!;
    const lead = row[expected[first]!]! - (row[found[b]?.[first] ?? -1] ?? NaN);
    // A token that is none has no logit: no tie.
    const size = Number.isNaN(lead)
      ? Number.MAX_VALUE
      : Math.abs(lead) / deviation(row);
    gap = Math.max(gap ?? 0, size);
  }
  return {
    batch: tokens.length,
    steps,
    equalSteps,
    ...(gap === undefined ? {} : { gap }),
    holds: gap === undefined || (dtype === "f16" && gap < NEAR_TIE),
  };
}

function deviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(square / values.length);
}
