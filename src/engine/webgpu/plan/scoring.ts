// Scores batches of equal windows, keeping the recorded plan of the latest shape:
// a text's windows all have it.

import type { Arena, Gpu } from "../device/gpu.ts";
import { gemm } from "../kernels/gemm.ts";
import { padded } from "../kernels/kernel.ts";
import type { GpuModel } from "./gpu_model.ts";
import { allocateCache, allocateScratchCache } from "./kv_cache.ts";
import { type PassPlan, passWork, recordPass } from "./pass_plan.ts";
import {
  concatenated,
  groupRows,
  layOut,
  type Span,
  uploadLayout,
} from "./row_layout.ts";
import { allocateRows, bindingBytes } from "./scratch.ts";
import {
  finalNorm,
  NO_TARGET,
  recordScore,
  type ScorePlan,
} from "./score_plan.ts";

/** A recorded pass over whole windows, and its head. */
interface Recorded {
  readonly key: string;
  readonly arena: Arena;
  readonly pass: PassPlan;
  readonly score: ScorePlan;
}

/** Scores tokens with one model. */
export class Scoring {
  readonly #gpu: Gpu;
  readonly #model: GpuModel;
  readonly #maxRows: number;
  #recorded: Recorded | undefined;

  constructor(gpu: Gpu, model: GpuModel, maxRows: number) {
    this.#gpu = gpu;
    this.#model = model;
    this.#maxRows = maxRows;
  }

  /**
   * @param tokens B sequences of equal length T.
   * @returns B arrays of T-1 negative log-likelihoods.
   */
  async score(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    const length = tokens[0]!.length;
    if (length === 1) return tokens.map(() => new Float32Array(0));
    if (length > this.#maxRows) {
      const results: Float32Array[] = [];
      for (const sequence of tokens) {
        results.push(await this.#scoreLong(sequence));
      }
      return results;
    }
    const results: Float32Array[] = [];
    const each = Math.floor(this.#maxRows / length);
    for (let first = 0; first < tokens.length; first += each) {
      const group = tokens.slice(first, first + each);
      const { pass, score } = this.#record(group.length, length);
      this.#gpu.write(pass.tokens, 0, concatenated(group));
      this.#gpu.write(score.targets, 0, targetsOf(group));
      this.#gpu.run([...passWork(pass), ...score.dispatches]);
      const bytes = pass.layout.rows * 4;
      const nll = new Float32Array(await this.#gpu.read(score.nll, 0, bytes));
      for (let b = 0; b < group.length; b++) {
        results.push(nll.slice(b * length, (b + 1) * length - 1));
      }
    }
    return results;
  }

  /**
   * @param tokens One sequence.
   * @returns Its logits, [T, V].
   */
  async logits(tokens: Int32Array): Promise<Float32Array> {
    const { vocabSize } = this.#model;
    const all = new Float32Array(tokens.length * vocabSize);
    const rowBytes = 4 * padded(vocabSize);
    const fitting = Math.floor(bindingBytes({ gpu: this.#gpu }) / rowBytes);
    const rows = Math.max(1, Math.min(this.#maxRows, fitting));
    await this.#inChunks(tokens, rows, async (arena, pass, span) => {
      const { past, length } = span;
      const logits = allocateRows(arena, "logits", length, vocabSize);
      this.#gpu.run([
        ...passWork(pass),
        ...finalNorm(arena, this.#model, pass),
        ...gemm(arena, {
          x: pass.y,
          rows: length,
          weight: this.#model.lmHead,
          out: logits,
        }),
      ]);
      const bytes = length * logits.stride * 4;
      const values = new Float32Array(
        await this.#gpu.read(logits.buffer, 0, bytes),
      );
      for (let t = 0; t < length; t++) {
        const row = t * logits.stride;
        all.set(
          values.subarray(row, row + vocabSize),
          (past + t) * vocabSize,
        );
      }
    });
    return all;
  }

  /** Releases the recorded plan. */
  close(): void {
    this.#recorded?.arena.destroy();
    this.#recorded = undefined;
  }

  #record(batch: number, length: number): Recorded {
    const key = `${batch} ${length}`;
    if (this.#recorded?.key === key) return this.#recorded;
    this.close();
    const arena = this.#gpu.arena();
    try {
      const spans = Array.from({ length: batch }, () => ({ past: 0, length }));
      const layout = uploadLayout(arena, layOut(spans));
      const cache = allocateScratchCache(arena, this.#model, batch, length);
      const place = { cache, firstSequence: 0 };
      const pass = recordPass(arena, this.#model, layout, place);
      const score = recordScore(arena, this.#model, pass);
      return this.#recorded = { key, arena, pass, score };
    } catch (error) {
      arena.destroy();
      throw error;
    }
  }

  async #scoreLong(tokens: Int32Array): Promise<Float32Array> {
    const nll = new Float32Array(tokens.length - 1);
    const targets = targetsOf([tokens]);
    const rows = this.#maxRows;
    await this.#inChunks(tokens, rows, async (arena, pass, span) => {
      const { past, length } = span;
      const score = recordScore(arena, this.#model, pass);
      this.#gpu.write(
        score.targets,
        0,
        targets.subarray(past, past + length),
      );
      this.#gpu.run([...passWork(pass), ...score.dispatches]);
      const values = await this.#gpu.read(score.nll, 0, length * 4);
      const kept = Math.min(length, nll.length - past);
      nll.set(new Float32Array(values).subarray(0, kept), past);
    });
    return nll;
  }

  /** One sequence, at most `maxRows` rows at a time, over a cache of all layers. */
  async #inChunks(
    tokens: Int32Array,
    maxRows: number,
    body: (arena: Arena, pass: PassPlan, span: Span) => Promise<void>,
  ): Promise<void> {
    const whole = this.#gpu.arena();
    try {
      const cache = allocateCache(whole, this.#model, 1, tokens.length);
      for (const { spans } of groupRows([tokens.length], maxRows)) {
        const span = spans[0]!;
        const arena = this.#gpu.arena();
        try {
          const layout = uploadLayout(arena, layOut(spans));
          const place = { cache, firstSequence: 0 };
          const pass = recordPass(arena, this.#model, layout, place);
          const part = tokens.subarray(span.past, span.past + span.length);
          this.#gpu.write(pass.tokens, 0, part);
          await body(arena, pass, span);
        } finally {
          arena.destroy();
        }
      }
    } finally {
      whole.destroy();
    }
  }
}

/** The token after each, none after a sequence's last. */
function targetsOf(sequences: readonly Int32Array[]): Uint32Array {
  const length = sequences[0]!.length;
  const targets = new Uint32Array(sequences.length * length).fill(NO_TARGET);
  for (const [b, sequence] of sequences.entries()) {
    targets.set(sequence.subarray(1), b * length);
  }
  return targets;
}
