// One model in the reference engine.

import { seededNumbers } from "../../base/seeded_tensor.ts";
import { logSumExp } from "../../model/reference_arithmetic.ts";
import type { LayerCache } from "../../model/reference_attention.ts";
import type { MomentsSink } from "../../model/moments.ts";
import {
  forward,
  type LoadedModel,
  logitsOf,
  newCaches,
} from "../../model/reference_forward.ts";
import { batchLength, longestLength } from "../batch_length.ts";
import type {
  CacheFill,
  DecodeResult,
  MomentsOptions,
  Session,
  TokenDivergence,
} from "../engine.ts";
import { checkHiddenStates } from "../hidden_states.ts";
import { liveBytes } from "../live_bytes.ts";
import { cachePart, checkFill, fedTokens } from "../seeded_cache.ts";
import { checkTokenWeights } from "../token_weights.ts";
import { augmentedGram } from "./augmented_gram.ts";
import { predictionDivergence } from "./prediction_divergence.ts";

/** Rows of logits that exist at a time while scoring. */
const HEAD_CHUNK = 64;

/** A sequence being decoded. */
interface Decoding {
  readonly caches: readonly LayerCache[];
  /** Tokens that prefill() was asked room for: the prompt's and the reserve. */
  readonly asked: number;
  /** Logits of the last position, [V]. */
  logits: Float64Array;
  /** The token that is fed next. */
  next: number;
}

/**
 * A session of the reference engine: one sequence at a time, each with caches
 * of its own, in f64.
 *
 * MLA runs expanded in score(), logits(), prefill() and moments(), absorbed in
 * decode(). The first token that decode() returns is the greedy one after the
 * prompt; the tokens it returns are those that it appended to the cache.
 */
export class ReferenceSession implements Session {
  #weights: LoadedModel | undefined;
  #decoding: Decoding[] = [];

  /** @param weights The model, in memory. */
  constructor(weights: LoadedModel) {
    this.#weights = weights;
  }

  // deno-lint-ignore require-await
  async score(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    const weights = this.#open();
    checkBatch(weights, tokens, "score");
    return tokens.map((sequence) => scoreSequence(weights, sequence));
  }

  // deno-lint-ignore require-await
  async hidden(tokens: readonly Int32Array[]): Promise<Float32Array[]> {
    const weights = this.#open();
    checkBatch(weights, tokens, "compute hidden states of");
    return tokens.map((sequence) =>
      Float32Array.from(hiddenOf(weights, sequence))
    );
  }

  // deno-lint-ignore require-await
  async divergence(
    tokens: readonly Int32Array[],
    original: readonly Float32Array[],
  ): Promise<TokenDivergence[]> {
    const weights = this.#open();
    checkBatch(weights, tokens, "compare predictions of");
    checkHiddenStates(tokens, original, weights.finalNorm.data.length);
    return tokens.map((sequence, b) =>
      compareSequence(weights, sequence, original[b]!)
    );
  }

  // deno-lint-ignore require-await
  async logits(tokens: Int32Array): Promise<Float32Array> {
    const weights = this.#open();
    checkBatch(weights, [tokens], "compute logits of");
    const hidden = hiddenOf(weights, tokens);
    return Float32Array.from(logitsOf(weights, hidden, tokens.length));
  }

  // deno-lint-ignore require-await
  async prefill(tokens: readonly Int32Array[], reserve = 0): Promise<void> {
    const weights = this.#open();
    longestLength(tokens, weights.embedTokens.shape[0]!, "prefill");
    if (!Number.isInteger(reserve) || reserve < 0) {
      throw new RangeError(
        `Cannot prefill as reserve must be a non-negative integer: current value is ${reserve}`,
      );
    }
    this.#decoding = [];
    this.#decoding = tokens.map((sequence) => {
      const asked = sequence.length + reserve;
      const caches = newCaches(weights, asked);
      const hidden = forward(weights, sequence, caches);
      const logits = lastRowLogits(weights, hidden);
      return { caches, asked, logits, next: argmax(logits) };
    });
  }

  // deno-lint-ignore require-await
  async fill(fill: CacheFill): Promise<void> {
    const weights = this.#open();
    checkFill(fill);
    const { batch, tokens, reserve = 0, seed } = fill;
    const asked = tokens + reserve;
    const vocabSize = weights.embedTokens.shape[0]!;
    const fed = fedTokens(seed, batch, vocabSize);
    this.#decoding = [];
    this.#decoding = Array.from(fed, (next, b) => {
      const caches = newCaches(weights, asked);
      for (const [layer, cache] of caches.entries()) {
        for (const part of ["first", "second"] as const) {
          const made = cachePart(seed, layer, part);
          const { length } = cache[part];
          cache[part].set(
            seededNumbers({ ...made, first: b * length }, length),
          );
        }
        cache.tokens = tokens;
      }
      return { caches, asked, logits: new Float64Array(vocabSize), next };
    });
  }

  // deno-lint-ignore require-await
  async decode(steps: number): Promise<DecodeResult> {
    const weights = this.#open();
    if (this.#decoding.length === 0) {
      throw new RangeError("Cannot decode as nothing was prefilled");
    }
    // The same for all: each had room for the same reserve.
    const room = roomOf(this.#decoding[0]!);
    if (!Number.isInteger(steps) || steps < 0 || steps > room) {
      throw new RangeError(
        `Cannot decode as steps must be in 0..${room}, the room left in the cache: current value is ${steps}`,
      );
    }
    const tokens = this.#decoding.map(() => new Int32Array(steps));
    const stepSeconds = new Float64Array(steps);
    for (let step = 0; step < steps; step++) {
      const start = performance.now();
      for (const [b, sequence] of this.#decoding.entries()) {
        tokens[b]![step] = sequence.next;
        const hidden = forward(
          weights,
          Int32Array.of(sequence.next),
          sequence.caches,
          { form: "absorbed" },
        );
        sequence.logits = lastRowLogits(weights, hidden);
        sequence.next = argmax(sequence.logits);
      }
      stepSeconds[step] = (performance.now() - start) / 1000;
    }
    return { tokens, stepSeconds, samples: steps };
  }

  // deno-lint-ignore require-await
  async lastLogits(): Promise<readonly Float32Array[]> {
    this.#open();
    return this.#decoding.map(({ logits }) => Float32Array.from(logits));
  }

  cache(): { tokens: number; batch: number; bytes: number } {
    let longest = 0;
    let bytes = 0;
    for (const { caches, asked } of this.#decoding) {
      const tokens = caches[0]!.tokens;
      const buffers = caches.flatMap(({ first, second }) => [first, second]);
      longest = Math.max(longest, tokens);
      bytes += liveBytes(buffers, tokens, asked);
    }
    return { tokens: longest, batch: this.#decoding.length, bytes };
  }

  // deno-lint-ignore require-await
  async moments(
    tokens: readonly Int32Array[],
    sink: MomentsSink,
    { tokenWeights }: MomentsOptions = {},
  ): Promise<void> {
    const weights = this.#open();
    for (const sequence of tokens) {
      checkBatch(weights, [sequence], "compute moments of");
    }
    if (tokenWeights !== undefined) checkTokenWeights(tokens, tokenWeights);
    for (const [b, sequence] of tokens.entries()) {
      const rows = sequence.length;
      forward(weights, sequence, newCaches(weights, rows), {
        tap: (layer, y) =>
          sink.add(
            layer,
            augmentedGram(y, rows, tokenWeights?.[b]),
            Float32Array.from(y),
          ),
        attentionTap: sink.attention &&
          ((layer, sums) => sink.attention!(layer, sums)),
      });
    }
  }

  close(): Promise<void> {
    this.#weights = undefined;
    this.#decoding = [];
    return Promise.resolve();
  }

  #open(): LoadedModel {
    if (this.#weights === undefined) {
      throw new TypeError("Cannot use a session as it is closed");
    }
    return this.#weights;
  }
}

/** Normed final hidden states of one sequence, [T, D]. */
function hiddenOf(weights: LoadedModel, tokens: Int32Array): Float64Array {
  return forward(weights, tokens, newCaches(weights, tokens.length));
}

/** Predictions of one sequence beside those of the original's states, [T, D]. */
function compareSequence(
  weights: LoadedModel,
  tokens: Int32Array,
  original: Float32Array,
): TokenDivergence {
  const hidden = hiddenOf(weights, tokens);
  const width = hidden.length / tokens.length;
  const count = tokens.length - 1;
  const result = { kl: new Float32Array(count), agree: new Uint8Array(count) };
  for (let start = 0; start < count; start += HEAD_CHUNK) {
    const rows = Math.min(HEAD_CHUNK, count - start);
    const chunk = [start * width, (start + rows) * width] as const;
    const logits = logitsOf(weights, hidden.subarray(...chunk), rows);
    const originals = logitsOf(
      weights,
      Float64Array.from(original.subarray(...chunk)),
      rows,
    );
    const vocabSize = logits.length / rows;
    for (let t = 0; t < rows; t++) {
      const { kl, agrees } = predictionDivergence(
        originals,
        logits,
        t * vocabSize,
        vocabSize,
      );
      result.kl[start + t] = kl;
      result.agree[start + t] = Number(agrees);
    }
  }
  return result;
}

/** Entry t is -log p(tokens[t+1] | tokens[0..t]), [T-1]. */
function scoreSequence(
  weights: LoadedModel,
  tokens: Int32Array,
): Float32Array {
  const hidden = hiddenOf(weights, tokens);
  const width = hidden.length / tokens.length;
  const nll = new Float32Array(tokens.length - 1);
  for (let start = 0; start < nll.length; start += HEAD_CHUNK) {
    const rows = Math.min(HEAD_CHUNK, nll.length - start);
    const chunk = hidden.subarray(start * width, (start + rows) * width);
    const logits = logitsOf(weights, chunk, rows);
    const vocabSize = logits.length / rows;
    for (let t = 0; t < rows; t++) {
      const target = logits[t * vocabSize + tokens[start + t + 1]!]!;
      nll[start + t] = logSumExp(logits, t * vocabSize, vocabSize) - target;
    }
  }
  return nll;
}

/** Tokens that still fit into a sequence's caches. */
function roomOf({ caches, asked }: Decoding): number {
  return asked - caches[0]!.tokens;
}

function lastRowLogits(
  weights: LoadedModel,
  hidden: Float64Array,
): Float64Array {
  const width = weights.finalNorm.data.length;
  return logitsOf(weights, hidden.subarray(hidden.length - width), 1);
}

/** Index of the largest element, the first of equals. */
function argmax(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (values[i]! > values[best]!) best = i;
  }
  return best;
}

function checkBatch(
  weights: LoadedModel,
  tokens: readonly Int32Array[],
  action: string,
): number {
  return batchLength(tokens, weights.embedTokens.shape[0]!, action);
}
