// A seeded sample of the rows of a stream of known length, each token equally likely.

/**
 * Chooses R of N tokens, without replacement (selection sampling, Knuth's
 * algorithm S). Every layer keeps the same tokens, so that their rows belong together.
 *
 * @param tokens N
 * @param rows R; all N where R is not smaller.
 * @param seed Any integer.
 * @returns The chosen tokens' numbers, ascending, `[min(R, N)]`.
 */
export function reservoirTokens(
  tokens: number,
  rows: number,
  seed: number,
): Int32Array {
  const wanted = Math.min(rows, tokens);
  const chosen = new Int32Array(wanted);
  const uniform = splitMix32(seed);
  let found = 0;
  for (let token = 0; found < wanted; token++) {
    if (uniform() * (tokens - token) < wanted - found) chosen[found++] = token;
  }
  return chosen;
}

/** Rows `[R, D]` of one layer, filled as its batches pass by. */
export class Reservoir {
  readonly #chosen: Int32Array;
  readonly #width: number;
  readonly #data: Float32Array;
  #filled = 0;
  #seen = 0;

  /**
   * @param chosen Numbers of the tokens to keep, ascending.
   * @param width D
   */
  constructor(chosen: Int32Array, width: number) {
    this.#chosen = chosen;
    this.#width = width;
    this.#data = new Float32Array(chosen.length * width);
  }

  /** Tokens that passed by. */
  get seen(): number {
    return this.#seen;
  }

  /** The kept rows, `[R, D]`. */
  get rows(): { readonly rows: number; readonly data: Float32Array } {
    return { rows: this.#filled, data: this.#data };
  }

  /**
   * Looks at the next tokens of the stream.
   *
   * @param hidden Their rows, `[N, D]`.
   */
  add(hidden: Float32Array): void {
    const width = this.#width;
    const end = this.#seen + hidden.length / width;
    while (
      this.#filled < this.#chosen.length && this.#chosen[this.#filled]! < end
    ) {
      const row = this.#chosen[this.#filled]! - this.#seen;
      this.#data.set(
        hidden.subarray(row * width, (row + 1) * width),
        this.#filled * width,
      );
      this.#filled++;
    }
    this.#seen = end;
  }
}

/** Uniform numbers in [0, 1): a Weyl sequence through MurmurHash3's finalizer. */
function splitMix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let word = state;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return ((word ^ (word >>> 16)) >>> 0) / 2 ** 32;
  };
}
