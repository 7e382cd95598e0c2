// Bytes of the KV cache: what the layers' sizes say it must be, and what the
// live buffers of a session really take after a prefill.

import type { Session } from "../engine/engine.ts";
import { cacheWidths, type DecoderModel } from "../model/decoder.ts";

/** Theory of a model's cache. */
export interface CacheTheory {
  /** Numbers a token in each layer. */
  readonly elementsByLayer: readonly number[];
  /** Their mean. */
  readonly elementsPerTokenPerLayer: number;
  /** Sum over layers times bytes of an element. */
  readonly bytesPerToken: number;
}

/** Theory and measurement. */
export interface CacheBytes extends CacheTheory {
  /** Bytes of the live buffers after the prefill. */
  readonly measuredBytes: number;
  readonly measuredTokens: number;
}

/**
 * Adds up what each layer must keep a token.
 *
 * @param model The model; its layers are read one at a time.
 * @param bytesPerElement 4 for f32, 2 for f16.
 */
export async function cacheTheory(
  model: DecoderModel,
  bytesPerElement: number,
): Promise<CacheTheory> {
  const elementsByLayer: number[] = [];
  for (let i = 0; i < model.config.numHiddenLayers; i++) {
    const { first, second } = cacheWidths((await model.layer(i)).attention);
    elementsByLayer.push(first + second);
  }
  const total = elementsByLayer.reduce((sum, n) => sum + n, 0);
  return {
    elementsByLayer,
    elementsPerTokenPerLayer: total / elementsByLayer.length,
    bytesPerToken: total * bytesPerElement,
  };
}

/**
 * Measures the cache after a prefill of one sequence. A cache that takes more
 * than its theory does not really shrink, and so fails.
 *
 * @param session A session of the model that `theory` describes.
 * @param theory Of the same model, with the session's bytes of an element.
 * @param tokens One sequence.
 * @param slackBytes How much more than theory is allowed. @default 0
 * @throws {RangeError} If the session holds another number of tokens, or more bytes than theory and slack.
 */
export async function measureCache(
  session: Session,
  theory: CacheTheory,
  tokens: Int32Array,
  slackBytes = 0,
): Promise<CacheBytes> {
  await session.prefill([tokens]);
  const cache = session.cache();
  if (cache.tokens !== tokens.length || cache.batch !== 1) {
    throw new RangeError(
      `Cannot measure the cache as it must hold 1 sequence of ${tokens.length} tokens: current value is ${cache.batch} of ${cache.tokens}`,
    );
  }
  const allowed = theory.bytesPerToken * tokens.length + slackBytes;
  if (!(cache.bytes > 0 && cache.bytes <= allowed)) {
    throw new RangeError(
      `Cannot accept the cache as ${tokens.length} tokens must take <= ${allowed} bytes (${theory.bytesPerToken} a token, slack ${slackBytes}): current value is ${cache.bytes}`,
    );
  }
  return {
    ...theory,
    measuredBytes: cache.bytes,
    measuredTokens: cache.tokens,
  };
}
