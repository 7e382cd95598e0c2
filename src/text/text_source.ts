// What a text is to the rest of the suite: rows in order, and how they join.

/** A text, split in rows as its publisher has them. */
export interface TextSource {
  /** For instance "wikitext-2/test", "brown/calibration", "file:PATH". */
  readonly name: string;
  /** WikiText: one row a line, `""` for a blank one, else the line with its "\n". Elsewhere one row a paragraph. */
  readonly rows: readonly string[];
  /** `rows` joined by "\n\n": what perplexity is measured on. */
  readonly text: string;
  /** Hex sha256 of `text` in UTF-8. */
  readonly sha256: string;
}
