// Shares of decode attention, and threads of reductions, by device and size.

import type { Gpu } from "../device/gpu.ts";
import { tuned } from "./tuned.ts";
import { attentionKey } from "./tuning_keys.ts";

/** Decode attention of a batch. */
export interface AttentionSize {
  readonly kind: "gqa" | "partialRope" | "mla";
  /** Sequences. */
  readonly batch: number;
  /** Tokens that the cache has room for. */
  readonly capacity: number;
  readonly heads: number;
  /** Heads' keys that differ: 1 in latent attention. */
  readonly groups: number;
  /** Columns of a cached value. */
  readonly valueWidth: number;
}

// Workgroups that keep a large GPU busy; each share of the keys is one.
const BUSY_WORKGROUPS = 264;

// Keys of a share at least: below, merging costs more than it gains. In latent space
// all heads are in one workgroup, and a key takes it as much longer.
const LEAST_KEYS = { gqa: 64, partialRope: 64, mla: 16 } as const;

// An H100's processors.
const MOST_SPLITS = 132;

/**
 * Shares of the keys that decode attention works on side by side.
 *
 * @param gpu The device.
 * @param size The batch.
 */
export function attentionSplits(
  gpu: Gpu,
  { kind, batch, capacity, heads, groups, valueWidth }: AttentionSize,
): number {
  const key = attentionKey({
    kind: kind === "mla" ? "mla" : "gqa",
    heads,
    groups,
    width: valueWidth,
    batch,
    context: capacity,
  });
  const found = tuned<{ readonly splits: number }>(
    gpu,
    "attention_decode_lanes",
    key,
  );
  if (found !== undefined) return found.splits;
  const wanted = Math.ceil(BUSY_WORKGROUPS / (batch * groups));
  const useful = Math.ceil(capacity / LEAST_KEYS[kind]);
  return Math.max(1, Math.min(wanted, useful, MOST_SPLITS));
}

/**
 * Threads that share a row in kernels that reduce it.
 *
 * @param gpu The device.
 * @returns A power of two.
 */
export function reductionThreads(gpu: Gpu): number {
  // A barrier costs a software adapter a switch for each thread.
  return gpu.facts.software ? 16 : 256;
}
