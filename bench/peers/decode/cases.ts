// What is timed: shapes, batches and contexts, and the bytes that a step of each
// must move.

import { InputError } from "../../../src/base/errors.ts";
import type { ModelConfig } from "../../../src/model/config.ts";
import { MOST_SEQUENCES, MOST_TOKENS } from "../../load_limits.ts";

/** The original model, or its shape after a conversion to MLA. */
export type CaseKind = "original" | "mla";

/** One whole decode step of `batch` sequences. */
export interface DecodeCase {
  readonly kind: CaseKind;
  readonly batch: number;
  /** Tokens that each sequence has in the cache. */
  readonly context: number;
}

/** Widths of the converted shape. */
export interface MlaWidths {
  readonly kvLoraRank: number;
  readonly qkRopeHeadDim: number;
}

const CONTEXTS = [1024, 2048, 4096, 8192, 16384, 32768];

/** Contexts that are timed with one sequence. */
const SINGLE_CONTEXTS = [1024, 8192, 32768];

/** What the paper's smallest card has, and the share of it that is used. */
const BUDGET_BYTES = 0.9 * 24 * 2 ** 30;

/** Of the budget, for activations and what a runtime keeps. */
const RESERVED_BYTES = 0.5e9;

/**
 * LLaMA-2-7B's batches within the budget, by context: those of the torch figures
 * that were published first, so that later ones stay comparable.
 */
const LLAMA_2_7B: Readonly<Record<CaseKind, readonly number[]>> = {
  original: [17, 8, 4, 2, 1],
  mla: [244, 122, 61, 30, 15, 7],
};

/**
 * Reads "original:1x1024,mla:30x8K".
 *
 * @param text What the user wrote.
 * @throws {InputError} If it is something else.
 */
export function parseCases(text: string): DecodeCase[] {
  return text.split(",").map((part) => {
    const [, kind, batch, context, thousands] =
      /^(original|mla):([1-9]\d*)x([1-9]\d*)(K?)$/.exec(part) ?? [];
    if (kind === undefined) {
      throw new InputError(
        `option --cases: found ${part}; allowed: original:BATCHxCONTEXT or mla:BATCHxCONTEXT, for instance mla:30x8K`,
      );
    }
    const one = {
      kind: kind as CaseKind,
      batch: Number(batch),
      context: Number(context) * (thousands === "K" ? 1024 : 1),
    };
    if (one.batch <= MOST_SEQUENCES && one.context <= MOST_TOKENS) return one;
    throw new InputError(
      `option --cases: found ${part}; allowed: at most ${MOST_SEQUENCES} sequences of ${MOST_TOKENS} tokens`,
    );
  });
}

/** A case as parseCases() reads it. */
export function caseName({ kind, batch, context }: DecodeCase): string {
  return `${kind}:${batch}x${
    context % 1024 === 0 ? `${context / 1024}K` : context
  }`;
}

/**
 * One sequence at three contexts, and the largest batches within the budget.
 *
 * @param model "synthetic:llama-2-7b".
 * @param config Its sizes.
 * @param mla Widths of the converted shape.
 */
export function defaultCases(
  model: string,
  config: ModelConfig,
  mla: MlaWidths,
): DecodeCase[] {
  return (["original", "mla"] as const).flatMap((kind) => {
    const batches = model === "synthetic:llama-2-7b"
      ? LLAMA_2_7B[kind]
      : CONTEXTS.map((context) => largestBatch(config, mla, kind, context));
    const cases: DecodeCase[] = SINGLE_CONTEXTS.map((context) => ({
      kind,
      batch: 1,
      context,
    }));
    for (const [i, batch] of batches.entries()) {
      const context = CONTEXTS[i]!;
      const isThere = batch === 1 && SINGLE_CONTEXTS.includes(context);
      if (batch >= 1 && !isThere) cases.push({ kind, batch, context });
    }
    return cases;
  });
}

function largestBatch(
  config: ModelConfig,
  mla: MlaWidths,
  kind: CaseKind,
  context: number,
): number {
  const free = BUDGET_BYTES - RESERVED_BYTES - weightBytes(config, mla, kind);
  return Math.floor(free / (context * cacheBytes(config, mla, kind)));
}

/** Bytes of f16 weights that a step reads. */
export function weightBytes(
  config: ModelConfig,
  mla: MlaWidths,
  kind: CaseKind,
): number {
  const { hiddenSize, headDim, intermediateSize, vocabSize } = config;
  const heads = config.numAttentionHeads;
  const groups = config.numKeyValueHeads;
  const rotary = mla.qkRopeHeadDim;
  const projected = kind === "mla"
    ? heads * (headDim + rotary) + mla.kvLoraRank + rotary
    : (heads + 2 * groups) * headDim;
  const up = kind === "mla" ? 2 * groups * headDim * mla.kvLoraRank : 0;
  const rows = projected + heads * headDim + 3 * intermediateSize;
  const layer = rows * hiddenSize + up;
  return 2 * (config.numHiddenLayers * layer + vocabSize * hiddenSize);
}

/** Bytes of f16 cache of a token, all layers. */
export function cacheBytes(
  config: ModelConfig,
  mla: MlaWidths,
  kind: CaseKind,
): number {
  const width = kind === "mla"
    ? mla.kvLoraRank + mla.qkRopeHeadDim
    : 2 * config.numKeyValueHeads * config.headDim;
  return 2 * config.numHiddenLayers * width;
}

/** Bytes that a step must move at least: each weight that it reads and the whole cache, once, in f16. */
export function stepBytes(
  config: ModelConfig,
  mla: MlaWidths,
  { kind, batch, context }: DecodeCase,
): number {
  return weightBytes(config, mla, kind) +
    batch * context * cacheBytes(config, mla, kind);
}

/** Whether weights and cache, with what else is needed, are within 24 GiB x 0.9. */
export function isWithinBudget(
  config: ModelConfig,
  mla: MlaWidths,
  { kind, batch, context }: DecodeCase,
): boolean {
  return batch <= largestBatch(config, mla, kind, context);
}

/** Whether a case is about the largest within the budget: of fewer sequences than it holds, a ratio would say nothing of it. */
export function fillsBudget(
  config: ModelConfig,
  mla: MlaWidths,
  { kind, batch, context }: DecodeCase,
): boolean {
  const most = largestBatch(config, mla, kind, context);
  return batch <= most && batch + 1 >= 0.8 * most;
}
