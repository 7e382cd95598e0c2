// What a tokenizer is to the rest of the suite.

/** Text to token ids and back. */
export interface Tokenizer {
  readonly vocabSize: number;
  /** Hex sha256 of the canonical tokenizer.json that defines it. */
  readonly sha256: string;
  /** Encodes without special tokens added. */
  encode(text: string): Int32Array;
  decode(ids: ArrayLike<number>): string;
}
