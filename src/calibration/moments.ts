// Second moments of every layer's attention input over calibration text,
// streamed: activations are never stored but for a small seeded reservoir.

import type { Session } from "../engine/engine.ts";
import type { LayerMoments } from "../model/moments.ts";
import { Reservoir, reservoirTokens } from "./reservoir.ts";

/** Rows of h kept for each layer. */
export const RESERVOIR_ROWS = 4096;

/** Sequences given to the engine at a time; bounds its activations, not the result. */
const BATCH_SEQUENCES = 8;

/** How moments are collected. */
export interface CollectOptions {
  /** Of the reservoir. */
  readonly seed: number;
  /** @default RESERVOIR_ROWS */
  readonly reservoirRows?: number;
  /** Sequences done of all. */
  progress?(done: number, total: number): void;
}

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
  shape: { readonly numHiddenLayers: number; readonly hiddenSize: number },
  options: CollectOptions,
): Promise<LayerMoments[]> {
  const { numHiddenLayers, hiddenSize } = shape;
  const tokens = sequences.reduce((sum, ids) => sum + ids.length, 0);
  if (tokens === 0) {
    throw new RangeError(
      "Cannot calibrate as there must be at least one token: current value is 0",
    );
  }
  const chosen = reservoirTokens(
    tokens,
    options.reservoirRows ?? RESERVOIR_ROWS,
    options.seed,
  );
  const size = hiddenSize + 1;
  const layers = Array.from({ length: numHiddenLayers }, () => ({
    gram: new Float64Array(size * size),
    reservoir: new Reservoir(chosen, hiddenSize),
  }));
  const sink = {
    add(layer: number, gram: Float64Array, hidden: Float32Array): void {
      const sums = layers[layer]!;
      for (let i = 0; i < gram.length; i++) sums.gram[i]! += gram[i]!;
      sums.reservoir.add(hidden);
    },
  };
  for (let from = 0; from < sequences.length; from += BATCH_SEQUENCES) {
    const batch = sequences.slice(from, from + BATCH_SEQUENCES);
    await session.moments(batch, sink);
    options.progress?.(from + batch.length, sequences.length);
  }
  return layers.map(({ gram, reservoir }, layer) => {
    if (reservoir.seen !== tokens || gram[gram.length - 1] !== tokens) {
      throw new RangeError(
        `Cannot use moments of layer ${layer} as they must cover ${tokens} tokens: current value is ${reservoir.seen} rows, ${
          gram[gram.length - 1]
        } in the Gram matrix`,
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
      gram: { rows: size, columns: size, data: gram },
      tokens,
      reservoir: reservoir.rows,
    };
  });
}
