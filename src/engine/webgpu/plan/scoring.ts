// What is asked of a text's windows: losses, hidden states, divergence from an
// original, and for tests all logits.

import type { TokenDivergence } from "../../engine.ts";
import type { Gpu } from "../device/gpu.ts";
import { gemm } from "../kernels/gemm.ts";
import { padded } from "../kernels/kernel.ts";
import { type DivergencePlan, recordDivergence } from "./divergence_plan.ts";
import type { GpuModel } from "./gpu_model.ts";
import { passWork } from "./pass_plan.ts";
import { allocateRows, bindingBytes } from "./scratch.ts";
import {
  finalNorm,
  NO_TARGET,
  recordScore,
  type ScorePlan,
} from "./score_plan.ts";
import {
  type RowHeadKind,
  type RowRange,
  WindowPasses,
} from "./window_passes.ts";

/** Scores tokens with one model. */
export class Scoring {
  readonly #gpu: Gpu;
  readonly #model: GpuModel;
  readonly #maxRows: number;
  readonly #passes: WindowPasses;

  constructor(gpu: Gpu, model: GpuModel, maxRows: number) {
    this.#gpu = gpu;
    this.#model = model;
    this.#maxRows = maxRows;
    this.#passes = new WindowPasses(gpu, model, maxRows);
  }

  /**
   * @param tokens B sequences of equal length T.
   * @returns B arrays of T-1 negative log-likelihoods.
   */
  async score(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    if (tokens[0]!.length === 1) return tokens.map(() => new Float32Array(0));
    const kind: RowHeadKind<ScorePlan> = {
      name: "score",
      record: (arena, pass) => recordScore(arena, this.#model, pass),
      feed: ({ targets }, range) =>
        this.#gpu.write(targets, 0, targetsOf(tokens, range)),
    };
    const rows = await this.#passes.run(tokens, kind);
    return rows.map((nll) => nll.subarray(0, nll.length - 1));
  }

  /**
   * @param tokens B sequences of equal length T.
   * @returns B arrays of states after the final norm, [T, D].
   */
  async hidden(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    const width = this.#model.hiddenSize;
    const rows = await this.#passes.run(tokens, {
      name: "hidden",
      record: (arena, pass) => {
        const { rows } = pass.layout;
        const states = allocateRows(arena, "states", rows, width);
        return {
          dispatches: finalNorm(arena, this.#model, pass, states),
          out: states.buffer,
          stride: states.stride,
        };
      },
      feed: () => {},
    });
    return rows.map((states) => restrided(states, padded(width), width, width));
  }

  /**
   * @param tokens B sequences of equal length T.
   * @param original The original's hidden() of them.
   * @returns B comparisons of T-1 predictions.
   */
  async divergence(
    tokens: readonly Int32Array[],
    original: readonly Float32Array[],
  ): Promise<TokenDivergence[]> {
    const width = this.#model.hiddenSize;
    const kind: RowHeadKind<DivergencePlan> = {
      name: "divergence",
      record: (arena, pass) => recordDivergence(arena, this.#model, pass),
      feed: ({ original: view }, { first, count, past, length }) => {
        for (let b = 0; b < count; b++) {
          const own = original[first + b]!
            .subarray(past * width, (past + length) * width);
          const rows = restrided(own, width, view.stride, width);
          this.#gpu.write(view.buffer, b * rows.byteLength, rows);
        }
      },
    };
    const rows = await this.#passes.run(tokens, kind);
    return rows.map((pairs) => {
      const count = pairs.length / 2 - 1;
      return {
        kl: Float32Array.from({ length: count }, (_, t) => pairs[2 * t]!),
        agree: Uint8Array.from({ length: count }, (_, t) => pairs[2 * t + 1]!),
      };
    });
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
    await this.#passes.inChunks(tokens, rows, async (arena, pass, span) => {
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
      all.set(
        restrided(values, logits.stride, vocabSize, vocabSize),
        past * vocabSize,
      );
    });
    return all;
  }

  /** Releases the recorded plan. */
  close(): void {
    this.#passes.close();
  }
}

/** The token after each of these rows, none after a sequence's last. */
function targetsOf(
  tokens: readonly Int32Array[],
  { first, count, past, length }: RowRange,
): Uint32Array {
  const targets = new Uint32Array(count * length).fill(NO_TARGET);
  for (let b = 0; b < count; b++) {
    targets.set(
      tokens[first + b]!.subarray(past + 1, past + 1 + length),
      b * length,
    );
  }
  return targets;
}

/** Rows of `width` numbers at another distance; what is between them is zero. */
function restrided(
  data: Float32Array,
  from: number,
  to: number,
  width: number,
): Float32Array {
  if (from === to) return data;
  const rows = data.length / from;
  const all = new Float32Array(rows * to);
  for (let t = 0; t < rows; t++) {
    all.set(data.subarray(t * from, t * from + width), t * to);
  }
  return all;
}
