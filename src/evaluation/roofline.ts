// What no decode step can beat: the bytes that it must move, at the speed at
// which the device copies.

/** A limit and what of it was reached. */
export interface Roofline {
  /** Weights and cache that a step reads. */
  readonly stepBytes: number;
  readonly copyBytesPerSecond: number;
  /** Of all sequences together, at the limit. */
  readonly tokensPerSecond: number;
  /** Measured over tokensPerSecond. */
  readonly fraction: number;
}

/** Sizes of a step, and its speed. */
export interface RooflineRequest {
  /** Each weight that a step reads, once. */
  readonly weightBytes: number;
  readonly cacheBytesPerToken: number;
  readonly batchSize: number;
  /** In the cache of each sequence; the mean over the steps that were timed. */
  readonly contextTokens: number;
  readonly copyBytesPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/**
 * Compares a speed with its limit.
 *
 * @param request Sizes and speeds.
 */
export function rooflineOf(request: RooflineRequest): Roofline {
  const { batchSize, copyBytesPerSecond } = request;
  const stepBytes = request.weightBytes +
    batchSize * request.contextTokens * request.cacheBytesPerToken;
  const tokensPerSecond = batchSize * copyBytesPerSecond / stepBytes;
  return {
    stepBytes,
    copyBytesPerSecond,
    tokensPerSecond,
    fraction: request.decodeTokensPerSecond / tokensPerSecond,
  };
}
