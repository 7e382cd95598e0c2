// What variants of a sweep share: the Gram matrix of [k; v], bases and spectra,
// kept for each original model while it is in use, within a budget of bytes.

import type { DecoderModel } from "../model/decoder.ts";

/** Bytes kept for each model; the least recently used go first. */
const BUDGET_BYTES = 512 * 2 ** 20;

interface Entry {
  readonly value: Promise<unknown>;
  bytes: number;
}

const memos = new WeakMap<DecoderModel, Map<string, Entry>>();

/**
 * Makes a value once for each model and key, as long as the budget holds it.
 *
 * @param model The original model; its memo goes when it does.
 * @param key Everything else that decides the value.
 * @param bytes The value's size.
 * @param make Makes it.
 * @returns The value, shared: it must not be written.
 */
export function memoized<T>(
  model: DecoderModel,
  key: string,
  bytes: (value: T) => number,
  make: () => Promise<T>,
): Promise<T> {
  let memo = memos.get(model);
  if (memo === undefined) memos.set(model, memo = new Map());
  const found = memo.get(key);
  if (found !== undefined) {
    // A Map iterates in insertion order: reinserting makes it the most recent.
    memo.delete(key);
    memo.set(key, found);
    return found.value as Promise<T>;
  }
  const entry: Entry = { value: make(), bytes: 0 };
  memo.set(key, entry);
  return (entry.value as Promise<T>).then(
    (value) => {
      entry.bytes = bytes(value);
      evict(memo);
      return value;
    },
    (error) => {
      memo.delete(key);
      throw error;
    },
  );
}

function evict(memo: Map<string, Entry>): void {
  let total = 0;
  for (const { bytes } of memo.values()) total += bytes;
  for (const [key, { bytes }] of memo) {
    if (total <= BUDGET_BYTES) return;
    if (bytes > 0) {
      memo.delete(key);
      total -= bytes;
    }
  }
}
