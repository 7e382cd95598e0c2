// Passes over batches of equal windows with a head of some kind after them,
// keeping the recorded plan of the latest shape: a text's windows all have it.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import type { GpuModel } from "./gpu_model.ts";
import { allocateCache, allocateScratchCache } from "./kv_cache.ts";
import { type PassPlan, passWork, recordPass } from "./pass_plan.ts";
import { evenBatch } from "../../even_batch.ts";
import {
  concatenated,
  groupRows,
  layOut,
  type Span,
  uploadLayout,
} from "./row_layout.ts";

/** What follows a pass, recorded. */
export interface RowHead {
  readonly dispatches: readonly Dispatch[];
  /** f32 [R, stride]: what it makes of each row. */
  readonly out: GPUBuffer;
  readonly stride: number;
}

/** The rows of a pass: tokens [past, past + length) of sequences [first, first + count). */
export interface RowRange {
  readonly first: number;
  readonly count: number;
  readonly past: number;
  readonly length: number;
}

/** A kind of head. */
export interface RowHeadKind<H extends RowHead> {
  /** Unique: plans are kept under it. */
  readonly name: string;
  record(arena: Arena, pass: PassPlan): H;
  /** Writes what the head reads for these rows. */
  feed(head: H, range: RowRange): void;
}

/** A plan serves fewer windows, too, where so large a share of it is of use. */
const LEAST_USE = 0.8;

/** A recorded pass over whole windows, and its head. */
interface Recorded {
  /** Of the head's kind. */
  readonly name: string;
  readonly batch: number;
  readonly length: number;
  readonly arena: Arena;
  readonly pass: PassPlan;
  readonly head: RowHead;
}

/** Runs windows through one model. */
export class WindowPasses {
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
   * Runs sequences and a head.
   *
   * @param tokens B sequences of equal length T.
   * @param kind The head.
   * @returns B arrays of what it makes of T rows, [T, stride].
   */
  async run<H extends RowHead>(
    tokens: readonly Int32Array[],
    kind: RowHeadKind<H>,
  ): Promise<Float32Array[]> {
    const length = tokens[0]!.length;
    const results: Float32Array[] = [];
    if (length > this.#maxRows) {
      for (const first of tokens.keys()) {
        results.push(await this.#runLong(tokens[first]!, first, kind));
      }
      return results;
    }
    const each = evenBatch(tokens.length, Math.floor(this.#maxRows / length));
    let last = Promise.resolve();
    let reading: Promise<Float32Array> | undefined;
    try {
      for (let first = 0; first < tokens.length; first += each) {
        const group = tokens.slice(first, first + each);
        const { pass, head } = this.#record(group.length, length, kind);
        this.#gpu.write(pass.tokens, 0, concatenated(group));
        const range = { first, count: group.length, past: 0, length };
        kind.feed(head, range);
        reading = this.#read(pass, head);
        // Told below; until then nobody listens.
        reading.catch(() => {});
        // The device has the next pass before the host waits for the last one.
        await last;
        const size = length * head.stride;
        last = reading.then((rows) => {
          for (const b of group.keys()) {
            results.push(rows.slice(b * size, (b + 1) * size));
          }
        });
      }
      await last;
    } catch (error) {
      // Nothing is under way any more when the caller hears of it.
      await Promise.allSettled([last, reading]);
      throw error;
    }
    return results;
  }

  /**
   * One sequence, at most `maxRows` rows at a time, over a cache of all layers.
   *
   * @param tokens The sequence.
   * @param maxRows Most rows of a pass.
   * @param body What is done with each pass.
   */
  async inChunks(
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

  /** Releases the recorded plan. */
  close(): void {
    this.#recorded?.arena.destroy();
    this.#recorded = undefined;
  }

  #record<H extends RowHead>(
    batch: number,
    length: number,
    kind: RowHeadKind<H>,
  ): Recorded & { readonly head: H } {
    const { name } = kind;
    const last = this.#recorded;
    // The last windows of a text are mostly a few less than the others: what those
    // before left in the rest of the rows is computed again, and not read.
    if (
      last?.name === name && last.length === length && batch <= last.batch &&
      batch >= LEAST_USE * last.batch
    ) {
      return last as Recorded & { readonly head: H };
    }
    this.close();
    const arena = this.#gpu.arena();
    try {
      const spans = Array.from({ length: batch }, () => ({ past: 0, length }));
      const layout = uploadLayout(arena, layOut(spans));
      const cache = allocateScratchCache(arena, this.#model, batch, length);
      const place = { cache, firstSequence: 0 };
      const pass = recordPass(arena, this.#model, layout, place);
      const head = kind.record(arena, pass);
      const recorded = { name, batch, length, arena, pass, head };
      this.#recorded = recorded;
      return recorded;
    } catch (error) {
      arena.destroy();
      throw error;
    }
  }

  async #runLong<H extends RowHead>(
    tokens: Int32Array,
    first: number,
    kind: RowHeadKind<H>,
  ): Promise<Float32Array> {
    const parts: Float32Array[] = [];
    await this.inChunks(tokens, this.#maxRows, async (arena, pass, span) => {
      const head = kind.record(arena, pass);
      kind.feed(head, { first, count: 1, ...span });
      parts.push(await this.#read(pass, head));
    });
    const all = new Float32Array(
      parts.reduce((sum, { length }) => sum + length, 0),
    );
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  async #read(pass: PassPlan, head: RowHead): Promise<Float32Array> {
    this.#gpu.run([...passWork(pass), ...head.dispatches]);
    const bytes = pass.layout.rows * head.stride * 4;
    return new Float32Array(await this.#gpu.read(head.out, 0, bytes));
  }
}
