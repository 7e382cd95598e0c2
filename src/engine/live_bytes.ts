// What a KV cache really takes, for all engines alike.

/**
 * The bytes that live buffers take for the tokens they hold. The reserve's
 * share is taken off by what the caller asked for, not by what was allocated:
 * a buffer that is larger than asked counts in full.
 *
 * @param buffers All buffers of a cache.
 * @param tokens Tokens a sequence that they hold.
 * @param askedTokens Tokens a sequence that the caller asked room for: prompt and reserve.
 */
export function liveBytes(
  buffers: readonly ArrayBufferView[],
  tokens: number,
  askedTokens: number,
): number {
  // A buffer that two views share is allocated once.
  const allocated = new Set(buffers.map((view) => view.buffer));
  let bytes = 0;
  for (const buffer of allocated) bytes += buffer.byteLength;
  return askedTokens === 0 ? bytes : bytes * tokens / askedTokens;
}
