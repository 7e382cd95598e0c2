// Compares variants with the original: its hidden states and continuations are
// made once in an engine process and kept over the sweep.

import type { Engine, Session } from "../engine/engine.ts";
import {
  commonPrefix,
  continueGreedily,
  spreadPrompts,
} from "../evaluation/continuation.ts";
import {
  divergence,
  type ModelInSession,
  type WindowStates,
  windowStates,
} from "../evaluation/divergence.ts";
import { batchTokensOf } from "../evaluation/perplexity.ts";
import type { DecoderModel } from "../model/decoder.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { continuationAt } from "./cell_id.ts";
import type { ContinuationPair, DivergenceMetrics } from "./record.ts";
import type { DivergenceMeasure } from "./schema.ts";

/** What a meter works with. */
export interface DivergenceParts {
  readonly measure: DivergenceMeasure;
  readonly original: DecoderModel;
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  /** The measured text. */
  readonly ids: Int32Array;
  /** Of the text. */
  readonly sha256: string;
  progress(stage: string, done: number, total: number): void;
}

/** The original's part of all comparisons. */
interface Original {
  /** By context. Together at most contexts · tokens · D f32 numbers. */
  readonly states: ReadonlyMap<number, WindowStates>;
  readonly prompts: readonly Int32Array[];
  /** What it adds to each. */
  readonly added: readonly Int32Array[];
}

/** Measures the divergence of the variants of one engine process. */
export class DivergenceMeter {
  readonly #parts: DivergenceParts;
  #original: Original | undefined;

  constructor(parts: DivergenceParts) {
    this.#parts = parts;
  }

  /** Whether prepare() has been done. */
  get isPrepared(): boolean {
    return this.#original !== undefined;
  }

  /** Opens the original, alone, and keeps what variants are compared with. */
  async prepare(): Promise<void> {
    const { measure, original: model, engine, ids, progress } = this.#parts;
    const session = await engine.open(model);
    try {
      const states = new Map<number, WindowStates>();
      for (const windowTokens of measure.contexts) {
        const options = {
          windowTokens,
          tokens: measure.tokens,
          batchTokens: batchTokensOf(engine.describe().name),
          progress: (done: number, total: number) =>
            progress("original's hidden states", done, total),
        };
        states.set(
          windowTokens,
          await windowStates({ model, session }, ids, options),
        );
      }
      const { tokens, continuation } = measure;
      const prompts = continuation === false
        ? []
        : spreadPrompts(ids, { ...continuation, tokens });
      const added = await this.#continue(session, prompts);
      this.#original = { states, prompts, added };
    } finally {
      await session.close();
    }
  }

  /**
   * Compares a variant with the original.
   *
   * @param variant The variant.
   * @param contextTokens Of the cell.
   * @throws {RangeError} If prepare() has not been done.
   */
  async measure(
    variant: ModelInSession,
    contextTokens: number,
  ): Promise<DivergenceMetrics> {
    const { measure, engine, sha256, progress } = this.#parts;
    const states = this.#original?.states.get(contextTokens);
    if (states === undefined) {
      throw new RangeError(
        `Cannot measure divergence at ${contextTokens} tokens as the original's states are not there`,
      );
    }
    const { klNats, klStderr, windowKl, ...agreement } = await divergence(
      variant,
      states,
      {
        batchTokens: batchTokensOf(engine.describe().name),
        progress: (done, total) => progress("divergence", done, total),
      },
    );
    return {
      klNats,
      klStderr,
      windowKl,
      ...agreement,
      windows: windowKl.length,
      windowTokens: contextTokens,
      tokens: windowKl.length * contextTokens,
      text: measure.text,
      textSha256: sha256,
      ...(continuationAt(measure, contextTokens) === undefined
        ? {}
        : { continuations: await this.#pairs(variant.session) }),
    };
  }

  async #pairs(session: Session): Promise<ContinuationPair[]> {
    const { tokenizer } = this.#parts;
    const { prompts, added: original } = this.#original!;
    const added = await this.#continue(session, prompts);
    return prompts.map((prompt, i) => ({
      prompt: tokenizer.decode(prompt),
      original: tokenizer.decode(original[i]!),
      variant: tokenizer.decode(added[i]!),
      tokens: added[i]!.length,
      commonTokens: commonPrefix(original[i]!, added[i]!),
    }));
  }

  async #continue(
    session: Session,
    prompts: readonly Int32Array[],
  ): Promise<readonly Int32Array[]> {
    const { measure: { continuation }, progress } = this.#parts;
    if (continuation === false) return [];
    progress("continuations", 0, 1);
    return await continueGreedily(session, prompts, continuation.tokens);
  }
}
