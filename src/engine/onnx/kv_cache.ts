// The KV cache of one batch: a buffer for each layer and part, filled in place.

/** One part of a layer's cache. */
export interface CachePart {
  readonly layer: number;
  readonly part: "first" | "second";
  /** Its new rows as an output of the decoding graph. */
  readonly name: string;
  /** Its rows so far as an input of the decoding graph. */
  readonly input: string;
  /** Numbers a token. */
  readonly width: number;
}

/** Buffers `[capacity, B, width]`: the tokens so far are one contiguous view. */
export class KvCache {
  readonly batch: number;
  readonly capacity: number;
  readonly parts: readonly CachePart[];
  #tokens = 0;
  #buffers: Float32Array[];

  constructor(parts: readonly CachePart[], batch: number, capacity: number) {
    this.batch = batch;
    this.capacity = capacity;
    this.parts = parts;
    this.#buffers = parts.map(({ width }) =>
      new Float32Array(capacity * batch * width)
    );
  }

  /** Tokens a sequence. */
  get tokens(): number {
    return this.#tokens;
  }

  /** The part's filled rows, `[tokens, B, width]`. */
  view(part: number): Float32Array {
    const { width } = this.parts[part]!;
    const end = this.#tokens * this.batch * width;
    return this.#buffers[part]!.subarray(0, end);
  }

  /** What was allocated, one a part. */
  get buffers(): readonly Float32Array[] {
    return this.#buffers;
  }

  /**
   * Stores rows of some of the sequences without counting them yet.
   *
   * @param rows `[tokens, sequences, width]`.
   * @param token The first token's place.
   * @param sequence The first sequence's place.
   */
  store(
    part: number,
    rows: Float32Array,
    { token, sequence, sequences }: {
      token: number;
      sequence: number;
      sequences: number;
    },
  ): void {
    const { width } = this.parts[part]!;
    const buffer = this.#buffers[part]!;
    if (sequences === this.batch) {
      buffer.set(rows, token * this.batch * width);
      return;
    }
    const length = sequences * width;
    for (let t = 0; t * length < rows.length; t++) {
      buffer.set(
        rows.subarray(t * length, (t + 1) * length),
        ((token + t) * this.batch + sequence) * width,
      );
    }
  }

  /** Counts tokens that every part of every sequence now holds. */
  grow(tokens: number): void {
    this.#tokens += tokens;
  }
}
