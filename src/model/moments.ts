// The statistics that conversions are computed from. k, v and q are linear in
// the attention input h, so one matrix a layer, S = sum_j w_j [h_j;1][h_j;1]^T,
// holds every Gram matrix that RoRoPE, BKV and the joint PCA need.

import type { Matrix64 } from "../base/tensor.ts";

/** Second moments of the attention input of one layer. */
export interface LayerMoments {
  /** S, [D+1, D+1], f64, symmetric; the last row and column belong to the constant 1. */
  readonly gram: Matrix64;
  /** Tokens summed over (with weights: the sum of weights is S[D, D]). */
  readonly tokens: number;
  /** A seeded sample of rows h, [R, D], f32: for means of norms, which are not quadratic. */
  readonly reservoir: { readonly rows: number; readonly data: Float32Array };
}

/** Where an engine delivers moments, layer by layer, batch by batch. */
export interface MomentsSink {
  /**
   * @param layer Layer index.
   * @param gram This batch's sum of w [h;1][h;1]^T, [(D+1)·(D+1)] f64, to be added to the layer's.
   * @param hidden This batch's rows h, [N, D]; only valid during the call.
   * @returns A promise where the sink is still busy with a complete layer: an engine that waits for it holds one layer less.
   */
  add(
    layer: number,
    gram: Float64Array,
    hidden: Float32Array,
  ): void | Promise<void>;
  /**
   * Where it is there, engines deliver the attention weights' sums too, after the add() of the same batch.
   *
   * @param layer Layer index.
   * @param attention This batch's sums.
   */
  attention?(layer: number, attention: AttentionSums): void;
}

/** Sums of attention weights p_h(i, j), query i, key j <= i, over all heads h. */
export interface AttentionSums {
  /** What each token receives, sum_h sum_i p_h(i, j), in the order of add()'s rows, [N]. */
  readonly received: Float64Array;
  /** Mass by distance, sum_h sum_i p_h(i, i - distance) over the batch's sequences, [longest sequence]. */
  readonly massByDistance: Float64Array;
}

/** Moments of a whole model, a layer at a time (they may lie on disk). */
export interface ModelMoments {
  /** Identity: weights, text, sampling options, numerics. Hex sha256. */
  readonly sha256: string;
  readonly tokens: number;
  layer(index: number): Promise<LayerMoments>;
}
