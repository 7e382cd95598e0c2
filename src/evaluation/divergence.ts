// How far a variant's predictions are from the original's on the same windows.
// Perplexity asks only for the text's own next token; KL(original || variant) and
// top-1 agreement see damage anywhere in the vocabulary.

import type { Session } from "../engine/engine.ts";
import { evenBatch } from "../engine/even_batch.ts";
import type { DecoderModel } from "../model/decoder.ts";
import { windows as cutWindows } from "../text/windows.ts";
import { meanAndStderr } from "./perplexity.ts";

/** A model, and it loaded in an engine. */
export interface ModelInSession {
  readonly model: DecoderModel;
  readonly session: Session;
}

/** What variants are compared with: the original's final hidden states on windows of a text. */
export interface WindowStates {
  readonly model: DecoderModel;
  /** [T] each. */
  readonly windows: readonly Int32Array[];
  /** Of each window, [T, D], f32. */
  readonly states: readonly Float32Array[];
}

/** How to cut and batch. */
export interface WindowStatesOptions extends BatchOptions {
  /** T: tokens of a window. */
  readonly windowTokens: number;
  /** Token budget: windows beyond it are left out. @default every whole window */
  readonly tokens?: number;
}

/** How to batch. */
export interface BatchOptions {
  /** Tokens of the windows in one call. @default 2048 */
  readonly batchTokens?: number;
  /** Windows done of all. */
  progress?(done: number, total: number): void;
}

/** What comparing windows gives, before it is tied to a text. */
export interface DivergenceScores {
  /** Mean of windowKl, nats. */
  readonly klNats: number;
  /** Standard error of klNats over windows; 0 for a single window. */
  readonly klStderr: number;
  /** Mean KL(original || variant) of each window's T-1 predictions. */
  readonly windowKl: readonly number[];
  /** Mean of windowAgreement, 0-1. */
  readonly top1Agreement: number;
  /** Part of each window's T-1 predictions whose most likely token is the original's. */
  readonly windowAgreement: readonly number[];
}

/**
 * Bytes that windowStates() keeps: T·D numbers of f32 a window.
 *
 * @param tokens Tokens of all windows.
 * @param hiddenSize D.
 */
export function stateBytes(tokens: number, hiddenSize: number): number {
  return tokens * hiddenSize * Float32Array.BYTES_PER_ELEMENT;
}

/**
 * Runs the original over a text once, for any number of variants.
 *
 * @param original The original.
 * @param ids The text, tokenized once.
 * @param options How to cut and batch.
 * @returns Windows and states; stateBytes() of memory.
 * @throws {InputError} If not one window fits.
 */
export async function windowStates(
  original: ModelInSession,
  ids: Int32Array,
  options: WindowStatesOptions,
): Promise<WindowStates> {
  const { model, session } = original;
  const windows = cutWindows(
    ids,
    options.windowTokens,
    options.tokens ?? ids.length,
  );
  const states: Float32Array[] = [];
  await inBatches(windows, options, async (batch) => {
    states.push(...await session.hidden(batch));
  });
  return { model, windows, states };
}

/**
 * Compares a variant's predictions with the original's.
 *
 * @param variant A conversion of the original: its head must be the original's.
 * @param original Of windowStates().
 * @param options How to batch.
 * @returns KL and agreement, of each window and their means.
 * @throws {RangeError} If the heads differ, or the engine returns a number that is not finite.
 */
export async function divergence(
  variant: ModelInSession,
  original: WindowStates,
  options: BatchOptions = {},
): Promise<DivergenceScores> {
  await checkSameHead(original.model, variant.model);
  const { windows, states } = original;
  const windowKl: number[] = [];
  const windowAgreement: number[] = [];
  await inBatches(windows, options, async (batch, first) => {
    const compared = await variant.session.divergence(
      batch,
      states.slice(first, first + batch.length),
    );
    for (const { kl, agree } of compared) {
      const mean = meanOf(kl);
      if (!Number.isFinite(mean)) {
        throw new RangeError(
          `Cannot average window ${windowKl.length} as its KL divergence must be finite: current value is ${mean}`,
        );
      }
      windowKl.push(mean);
      windowAgreement.push(meanOf(agree));
    }
  });
  const { mean, stderr } = meanAndStderr(windowKl);
  return {
    klNats: mean,
    klStderr: stderr,
    windowKl,
    top1Agreement: meanOf(windowAgreement),
    windowAgreement,
  };
}

async function inBatches(
  windows: readonly Int32Array[],
  { batchTokens = 2048, progress }: BatchOptions,
  body: (batch: Int32Array[], first: number) => Promise<void>,
): Promise<void> {
  const most = Math.max(1, Math.floor(batchTokens / windows[0]!.length));
  const size = evenBatch(windows.length, most);
  progress?.(0, windows.length);
  for (let first = 0; first < windows.length; first += size) {
    const batch = windows.slice(first, first + size);
    await body(batch, first);
    progress?.(first + batch.length, windows.length);
  }
}

/** States stand for logits only under the same head: conversions change attention alone. */
async function checkSameHead(
  original: DecoderModel,
  variant: DecoderModel,
): Promise<void> {
  const a = await original.lmHead();
  const b = await variant.lmHead();
  if (
    a === b ||
    (String(a.shape) === String(b.shape) &&
      a.data.every((value, i) => value === b.data[i]))
  ) return;
  throw new RangeError(
    `Cannot compare ${variant.id} with ${original.id} as both must have the same lmHead: current shapes are [${b.shape}] and [${a.shape}]${
      String(a.shape) === String(b.shape) ? " with other weights" : ""
    }`,
  );
}

function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}
