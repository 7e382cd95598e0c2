// Perplexity of non-overlapping windows, the official protocol: the text is
// tokenized once, cut in windows of contextTokens, each scored from position 0;
// the mean NLL of each window's T-1 predictions, the mean over windows, exp.

import type { EngineName, Session } from "../engine/engine.ts";
import { evenBatch } from "../engine/even_batch.ts";
import { windows as cutWindows } from "../text/windows.ts";
import { studentT } from "./student_t.ts";

/** What scoring windows gives, before it is tied to a text. */
export interface WindowScores {
  /** exp(meanNll) */
  readonly value: number;
  /** Mean of windowNll, nats. */
  readonly meanNll: number;
  /** Standard error of meanNll over windows; 0 for a single window. */
  readonly stderr: number;
  /** Mean NLL of each window. */
  readonly windowNll: readonly number[];
}

/** How to cut and batch. */
export interface PerplexityOptions {
  /** T: tokens of a window. */
  readonly windowTokens: number;
  /** Token budget: windows beyond it are left out; "all" uses every whole window. */
  readonly tokens: number | "all";
  /** Windows scored in one call. @default as many as fit batchTokens, at least 1 */
  readonly batch?: number;
  /** @default 2048 */
  readonly batchTokens?: number;
  /** Windows done of all. */
  progress?(done: number, total: number): void;
}

/** A CPU gains nothing from larger products. */
const BATCH_TOKENS = 2048;

/** Several passes of a GPU, which has the next one before the last one is read. */
const GPU_BATCH_TOKENS = 32768;

/**
 * Tokens of the windows that an engine is given in one call; perplexity does
 * not depend on it.
 *
 * @param engine Its name.
 */
export function batchTokensOf(engine: EngineName): number {
  return engine === "webgpu" ? GPU_BATCH_TOKENS : BATCH_TOKENS;
}

/**
 * Scores a text.
 *
 * @param session A model loaded in an engine.
 * @param ids The text, tokenized once.
 * @param options How to cut and batch.
 * @returns Perplexity with its standard error and the NLL of each window.
 * @throws {InputError} If not one window fits.
 * @throws {RangeError} If the engine returns a number that is not finite.
 */
export async function perplexity(
  session: Session,
  ids: Int32Array,
  options: PerplexityOptions,
): Promise<WindowScores> {
  const windows = cutWindows(
    ids,
    options.windowTokens,
    options.tokens === "all" ? ids.length : options.tokens,
  );
  const most = Math.floor(
    (options.batchTokens ?? BATCH_TOKENS) / options.windowTokens,
  );
  const batch = options.batch ?? evenBatch(windows.length, Math.max(1, most));
  const windowNll: number[] = [];
  options.progress?.(0, windows.length);
  for (let start = 0; start < windows.length; start += batch) {
    const scores = await session.score(windows.slice(start, start + batch));
    for (const nll of scores) {
      let sum = 0;
      for (let t = 0; t < nll.length; t++) sum += nll[t]!;
      const mean = sum / nll.length;
      if (!Number.isFinite(mean)) {
        throw new RangeError(
          `Cannot average window ${windowNll.length} as its NLL must be finite: current value is ${mean}`,
        );
      }
      windowNll.push(mean);
    }
    options.progress?.(windowNll.length, windows.length);
  }
  const { mean, stderr } = meanAndStderr(windowNll);
  return { value: Math.exp(mean), meanNll: mean, stderr, windowNll };
}

/** A paired difference of mean NLLs. */
export interface PairedDelta {
  /** Mean of the differences, nats. */
  readonly deltaNll: number;
  /** 95 % interval by Student's t; absent for a single window. */
  readonly deltaNllCi95?: readonly [number, number];
}

/**
 * Compares two models on the same windows. Pairing removes the spread between
 * windows, which is far larger than the difference of two variants.
 *
 * @param windowNll Mean NLL of each window.
 * @param baselineNll The baseline's, of the same windows in the same order.
 * @returns Mean difference and its interval.
 * @throws {RangeError} If the numbers of windows differ.
 */
export function pairedDelta(
  windowNll: readonly number[],
  baselineNll: readonly number[],
): PairedDelta {
  if (windowNll.length !== baselineNll.length || windowNll.length === 0) {
    throw new RangeError(
      `Cannot pair windows as both models must have scored the same number: current values are ${windowNll.length} and ${baselineNll.length}`,
    );
  }
  const { mean, stderr } = meanAndStderr(
    windowNll.map((nll, i) => nll - baselineNll[i]!),
  );
  if (windowNll.length === 1) return { deltaNll: mean };
  const margin = studentT(windowNll.length - 1) * stderr;
  return { deltaNll: mean, deltaNllCi95: [mean - margin, mean + margin] };
}

/** Mean and standard error (sample standard deviation over sqrt n; 0 for n = 1). */
export function meanAndStderr(
  values: readonly number[],
): { mean: number; stderr: number } {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return { mean, stderr: 0 };
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, stderr: Math.sqrt(squares / (n - 1) / n) };
}
