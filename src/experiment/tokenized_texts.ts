// The texts of an experiment, each read and tokenized once.

import { openText } from "../text/open_text.ts";
import type { TextSource } from "../text/text_source.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { SYNTHETIC_TEXT } from "./inputs.ts";

/** A text as a model reads it. */
export interface TokenizedText {
  readonly tokenizer: Tokenizer;
  readonly ids: Int32Array;
  /** Of the text. */
  readonly sha256: string;
}

/** Reads and tokenizes texts for one model. */
export class TokenizedTexts {
  readonly #tokenizer: Tokenizer | undefined;
  readonly #texts = new Map<string, TextSource>();
  readonly #ids = new Map<string, Int32Array>();

  /** @param tokenizer The model's; absent for a synthetic one. */
  constructor(tokenizer: Tokenizer | undefined) {
    this.#tokenizer = tokenizer;
  }

  /**
   * A text.
   *
   * @param name As the experiment has it.
   * @returns Undefined for the synthetic one.
   */
  async text(name: string): Promise<TextSource | undefined> {
    if (name === SYNTHETIC_TEXT) return undefined;
    const known = this.#texts.get(name);
    if (known !== undefined) return known;
    const text = await openText(name);
    this.#texts.set(name, text);
    return text;
  }

  /**
   * A text's tokens.
   *
   * @param name As the experiment has it.
   * @param purpose For the error: "measure perplexity".
   * @param onWork Called before a text is tokenized.
   * @throws {RangeError} If there is no such text, or no tokenizer.
   */
  async tokenized(
    name: string,
    purpose: string,
    onWork: () => void,
  ): Promise<TokenizedText> {
    const text = await this.text(name);
    const tokenizer = this.#tokenizer;
    if (text === undefined || tokenizer === undefined) {
      throw new RangeError(
        `Cannot ${purpose} as it needs a text and a tokenizer: current text is ${name}`,
      );
    }
    const { sha256 } = text;
    let ids = this.#ids.get(sha256);
    if (ids === undefined) {
      onWork();
      this.#ids.set(sha256, ids = tokenizer.encode(text.text));
    }
    return { tokenizer, ids, sha256 };
  }
}
