// Second moments of every layer's attention input over calibration text,
// streamed: activations are never stored but for a small seeded reservoir.

import type { Session } from "../engine/engine.ts";
import type { LayerMoments } from "../model/moments.ts";
import { Reservoir, reservoirTokens } from "./reservoir.ts";

/** Rows of h kept for each layer. */
export const RESERVOIR_ROWS = 4096;

/** Sequences given to the engine at a time; bounds its activations, not the result. */
const BATCH_SEQUENCES = 8;

/** States of all tokens that an engine may keep, to run each layer over all of them. */
const STATE_BYTES = 2 ** 30;

/** How moments are collected. */
export interface CollectOptions {
  /** Of the reservoir. */
  readonly seed: number;
  /** @default RESERVOIR_ROWS */
  readonly reservoirRows?: number;
  /** Sequences done of all; where each layer is run over all of them, that share of the work. */
  progress?(done: number, total: number): void;
}

/** The model's layers and width. */
export interface MomentsShape {
  readonly numHiddenLayers: number;
  /** D */
  readonly hiddenSize: number;
}

/** Takes a layer's moments as soon as they are complete. */
export type MomentsConsumer = (
  layer: number,
  moments: LayerMoments,
) => void | Promise<void>;

/**
 * Runs calibration sequences and sums the moments of each layer in f64.
 *
 * @param session The model to look into.
 * @param sequences Token ids, of any lengths.
 * @param shape The model's layers and width D.
 * @param options Seed and size of the reservoir.
 * @returns One entry a layer.
 * @throws {RangeError} If there is no token, or the engine delivers other tokens than it was given, or NaN.
 */
export async function collectMoments(
  session: Session,
  sequences: readonly Int32Array[],
  shape: MomentsShape,
  options: CollectOptions,
): Promise<LayerMoments[]> {
  const layers: LayerMoments[] = [];
  await streamMoments(session, sequences, shape, options, (layer, moments) => {
    layers[layer] = moments;
  });
  return layers;
}

/**
 * As collectMoments(), but hands each layer over when it is complete and keeps
 * none: with an engine that runs layer by layer, one layer's sums are in memory.
 *
 * @param session The model to look into.
 * @param sequences Token ids, of any lengths.
 * @param shape The model's layers and width D.
 * @param options Seed and size of the reservoir.
 * @param consume Takes the layers, in their order; the first failure is thrown after the run.
 * @throws {RangeError} If there is no token, or the engine delivers other tokens than it was given, or NaN.
 */
export async function streamMoments(
  session: Session,
  sequences: readonly Int32Array[],
  shape: MomentsShape,
  options: CollectOptions,
  consume: MomentsConsumer,
): Promise<void> {
  const { numHiddenLayers, hiddenSize } = shape;
  const tokens = sequences.reduce((sum, ids) => sum + ids.length, 0);
  if (tokens === 0) {
    throw new RangeError(
      "Cannot calibrate as there must be at least one token: current value is 0",
    );
  }
  const { reservoirRows = RESERVOIR_ROWS, seed } = options;
  const chosen = reservoirTokens(tokens, reservoirRows, seed);
  const open = new Map<number, LayerSums>();
  let finished = 0;
  let work = Promise.resolve();
  const finish = (layer: number, sums: LayerSums) => {
    open.delete(layer);
    finished++;
    const moments = sums.moments(layer, tokens);
    work = work.then(() => consume(layer, moments));
    // The failure is thrown at the end; until then nobody waits for it.
    work.catch(() => {});
  };
  let rows = 0;
  const sink = {
    add(
      layer: number,
      gram: Float64Array,
      hidden: Float32Array,
    ): Promise<void> {
      let sums = open.get(layer);
      if (sums === undefined) {
        open.set(layer, sums = new LayerSums(chosen, hiddenSize));
      }
      sums.add(gram, hidden);
      rows += hidden.length / hiddenSize;
      if (sums.seen >= tokens) finish(layer, sums);
      return work;
    },
  };
  const batches: (readonly Int32Array[])[] = [];
  for (let from = 0; from < sequences.length; from += BATCH_SEQUENCES) {
    batches.push(sequences.slice(from, from + BATCH_SEQUENCES));
  }
  const total = sequences.length;
  if (session.momentsByLayer && 4 * tokens * hiddenSize <= STATE_BYTES) {
    const byLayer = {
      async add(
        layer: number,
        gram: Float64Array,
        hidden: Float32Array,
      ): Promise<void> {
        const finished = sink.add(layer, gram, hidden);
        const share = rows / (tokens * numHiddenLayers);
        options.progress?.(Math.floor(share * total), total);
        await finished;
      },
    };
    await session.momentsByLayer(batches, byLayer);
  } else {
    let done = 0;
    for (const batch of batches) {
      await session.moments(batch, sink);
      done += batch.length;
      options.progress?.(done, total);
    }
  }
  for (const [layer, sums] of open) sums.moments(layer, tokens);
  await work;
  if (finished !== numHiddenLayers) {
    throw new RangeError(
      `Cannot use moments as the engine must deliver ${numHiddenLayers} layers: current value is ${finished}`,
    );
  }
}

/** One layer's sums while its batches pass by. */
class LayerSums {
  readonly #gram: Float64Array;
  readonly #size: number;
  readonly #reservoir: Reservoir;

  constructor(chosen: Int32Array, hiddenSize: number) {
    this.#size = hiddenSize + 1;
    this.#gram = new Float64Array(this.#size ** 2);
    this.#reservoir = new Reservoir(chosen, hiddenSize);
  }

  /** Tokens that passed by. */
  get seen(): number {
    return this.#reservoir.seen;
  }

  add(gram: Float64Array, hidden: Float32Array): void {
    for (let i = 0; i < gram.length; i++) this.#gram[i]! += gram[i]!;
    this.#reservoir.add(hidden);
  }

  /** The sums, checked. */
  moments(layer: number, tokens: number): LayerMoments {
    const gram = this.#gram;
    const counted = gram[gram.length - 1];
    if (this.seen !== tokens || counted !== tokens) {
      throw new RangeError(
        `Cannot use moments of layer ${layer} as they must cover ${tokens} tokens: current value is ${this.seen} rows, ${counted} in the Gram matrix`,
      );
    }
    const broken = gram.findIndex((value) => !Number.isFinite(value));
    if (broken >= 0) {
      throw new RangeError(
        `Cannot use moments of layer ${layer} as they must be finite: element ${broken} is ${
          gram[broken]
        }`,
      );
    }
    return {
      gram: { rows: this.#size, columns: this.#size, data: gram },
      tokens,
      reservoir: this.#reservoir.rows,
    };
  }
}
